from sim import *
from l1 import *
import stepml.ml.algorithms.admm as A, stepml.ml.algorithms.rho as R
S=SETS['l1'](); X=std(S.X); y=S.y
L=SETS['large'](); XL=std(L.X); yL=L.y
rng=np.random.default_rng(0)
Xw=rng.normal(size=(20000,200)).astype(np.float32); yw=(Xw[:,:10]@rng.normal(size=10)+rng.logistic(size=20000)>0)+0.
cases=[(X,y,.01,6000,'l1'),(X,y,.001,6000,'l1 .001'),(XL,yL,.003,35000,'large'),(Xw,yw,.01,None,'wide')]
orig=R.rho_behind_start
for vname,f in (('behind',orig),('stay',lambda rho,m,rr:rho),('tenth',lambda rho,m,rr:rho/10),('geo',lambda rho,m,rr:(rho*orig(rho,m,rr))**.5)):
    A.rho_behind_start=f
    for X_,y_,l,s,lab in cases:
        r=sim(X_,y_,{"name":"logistic_regression","l1":l},"admm",label=vname+' '+lab,sample_rows=s if s else 10000)
        print('    ',[f"{o[1]:.6f}" for o in r['objs'][:12]])
