import sys, time; sys.path.insert(0,'/tmp/h/g')
import numpy as np, msgspec
from dataclasses import replace
from stepml.job import algorithms, models
from stepml.job.algorithms import ALGORITHMS
from stepml.job.choices import with_algorithm
from stepml.job.spec import JobSpec, Data, Exchange, Stop
from stepml.job.spec_base import settled
from stepml.ml.choices import *
from stepml.ml.sample_objective import minimum
from stepml.ml.stopping import with_one_epoch
from stepml.ml.matrices import CsrMatrix
from stepml.ml.models.base import LossModel
from tests.support.learning import Orchestra, model_for, cuts_of, averaged_gradients, InFlightEpoch
CSV=Data(uri="s3://b/r.csv",format="csv")
MODELS={"logistic_regression":models.LogisticRegression,"softmax_regression":models.SoftmaxRegression,"linear_regression":models.LinearRegression,"svm":models.Svm}
def std(X):
    X=np.asarray(X,np.float64); s=X.std(0); return ((X-X.mean(0))/np.where(s==0,1,s)).astype(np.float32)
def sim(X,y,model,name=None,workers=4,sample_rows=None,fields={},standardise=True,verbose=True,label='',max_epochs=None):
    """X prepared (standardised) float32 or CsrMatrix."""
    t=time.time()
    kind=dict(model); m=MODELS[kind.pop("name")](**kind)
    y=np.asarray(y,np.float32)
    alg=ALGORITHMS[name](**fields) if name else None
    asked=Stop(max_epochs=max_epochs)
    spec=JobSpec(data=msgspec.structs.replace(CSV,standardise=standardise),model=m,algorithm=alg,workers=workers,exchange=Exchange(channel="redis"),stop=asked)
    spec=with_algorithm(spec,X.shape[1])
    if sample_rows is None:
        rb=4*X.shape[1] if not isinstance(X,CsrMatrix) else 8*X.nnz/len(X)
        sample_rows=min(len(y),200_000,int(16*2**20/rb))
    s=slice(sample_rows)
    spec=with_scaling(spec,lambda:X[s],float(abs(y).max()))
    mod=model_for(spec.model,X,y)
    spec=with_start(spec,mod,lambda:X[s],len(y))
    spec=with_pace(with_penalty(spec,len(y)),cuts_of(len(y),workers))
    mod=model_for(spec.model,X,y)
    sample=(X[s],mod.targets(y[s])); first=mod.initial_parameters(); fall=None
    if settled(spec.algorithm).starts_at_sample:
        mn=minimum(mod,sample); first=mn.parameters; fall=mn.fall if sample_rows==len(y) else None
    spec=with_one_epoch(spec,asked,fall)
    if rate_is_open(spec): spec=with_rate(spec,mod,first,*sample)
    if rho_is_open(spec): spec=with_rho(spec,mod,first,sample,len(y))
    tp=time.time()-t
    objs=[]; T=mod.targets(y)
    def obj(w):
        l=mod.gradient(w,X,T,out=np.empty_like(w)); return l,l+mod.penalty.value(w)
    E=settled(spec.stop.max_epochs) if spec.stop.max_epochs else 50
    if isinstance(spec.algorithm,algorithms.GradientAveraging):
        one=msgspec.structs.replace(spec.algorithm,batch_size=min(len(y),settled(spec.algorithm.batch_size)*workers))
        sp=msgspec.structs.replace(spec,algorithm=one)
        from stepml.ml.algorithms import build_algorithm
        state=build_algorithm(sp).initial_state(mod,first,lambda:sample)
        for k in range(1,E+1):
            last=InFlightEpoch(sp,X,y,1,k,state=state).run_all()[0][-1]; state=last.state; objs.append(obj(state.parameters))
        w=state.parameters; conv=None
    else:
        o=Orchestra(spec,X,y,workers,first); o.sample=lambda: sample
        o.state=o.algorithm.initial_state(mod,first,lambda:sample); conv=None
        for k in range(1,E+1):
            out=o.epoch(); objs.append(obj(o.state.parameters))
            if out.converged: conv=out.converged; break
        w=o.state.parameters
    r=dict(w=w,epochs=len(objs),objs=objs,loss=objs[-1][0],obj=objs[-1][1],fall=fall,conv=conv,spec=spec,mod=mod,first=first,first_obj=obj(first),prep=tp,secs=time.time()-t)
    if verbose:
        a=spec.algorithm
        print(f"{label:12} {type(a).__name__:18} start={getattr(a,'start','-')} ep={r['epochs']} loss={r['loss']:.5g} obj={r['obj']:.6g} first={r['first_obj'][1]:.6g} fall={fall} zeros={int((w==0).sum())}/{len(w)} rate={getattr(a,'learning_rate',None)} rho={getattr(a,'rho',None)} prep={tp:.2f}s all={r['secs']:.1f}s {conv or ''}",flush=True)
    return r
