from sim import *
import stepml.ml.choices.start as ST, stepml.ml.algorithms.admm as A, stepml.ml.algorithms.rho as R
from benchmarks.default_sets import SETS
S=SETS['l1'](); X=std(S.X); y=S.y
L=SETS['large'](); XL=std(L.X); yL=L.y
cases=[(X,y,.01,6000,'l1'),(X,y,.001,6000,'l1 .001'),(X,y,.05,6000,'l1 .05'),(XL,yL,.003,35000,'large'),(XL,yL,.03,35000,'large .03')]
for share in (.5,1.,2.):
    ST._SHARE=share
    for X_,y_,l,s,lab in cases:
        r=sim(X_,y_,{"name":"logistic_regression","l1":l},"admm",label=f'{share} '+lab,sample_rows=s,max_epochs=20)
        print('    ',[f"{o[1]:.6f}" for o in r['objs'][:20]])
ST._SHARE=.5
for a in ('gradient_averaging','model_averaging'):
    for X_,y_,l,s,lab in cases:
        r=sim(X_,y_,{"name":"logistic_regression","l1":l},a,label=lab,sample_rows=s)
