from sim import *
import stepml.ml.choices.start as ST, stepml.ml.choices.pace as P
ST._ROWS_A_PARAMETER=10
rng=np.random.default_rng(0)
Xw=rng.normal(size=(20000,200)).astype(np.float32); yw=(Xw[:,:10]@rng.normal(size=10)+rng.logistic(size=20000)>0)+0.
Z=std(rng.normal(size=(40000,30))@rng.normal(size=(30,300))+.3*rng.normal(size=(40000,300))); yz=(Z@rng.normal(size=300)/10+rng.logistic(size=40000)>1)+0.
for a in ('admm','gradient_averaging','model_averaging'):
    for X_,y_,l,s,lab in [(Xw,yw,.01,10000,'wide'),(Xw,yw,.001,10000,'wide'),(Z,yz,.01,14000,'corr'),(Z,yz,.001,14000,'corr'),(Z,yz,.001,3500,'corr few')]:
        r=sim(X_,y_,{"name":"logistic_regression","l1":l},a,label=lab,sample_rows=s)
        print('    ',[f"{o[1]:.5f}" for o in r['objs'][:20]])
    for X_,y_,l,s,lab in [(Xw,yw,None,10000,'l2 wide'),(Z,yz,None,14000,'l2 corr'),(Z,yz,None,3500,'l2 corr few')]:
        for q in (10,10**9) if not lab.endswith('few') else (10,):
            ST._ROWS_A_PARAMETER=q
            r=sim(X_,y_,{"name":"logistic_regression"},a,label=lab,sample_rows=s)
            print('    ',[f"{o[1]:.5f}" for o in r['objs'][:20]])
        ST._ROWS_A_PARAMETER=10
