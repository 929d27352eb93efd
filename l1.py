from sim import *
from benchmarks.default_sets import SETS
from sklearn.linear_model import LogisticRegression
from sklearn import datasets
def go(X,y,l1,label,**kw):
    X=std(X); 
    ref=LogisticRegression(C=1/(l1*len(y)),l1_ratio=1,solver='saga',max_iter=3000,tol=1e-6).fit(X,y) if len(set(y))==2 else None
    if ref is not None:
        m=model_for(models.LogisticRegression(l1=l1,l2=0.0),X,np.asarray(y,np.float32)); w=np.append(ref.coef_.ravel(),ref.intercept_).astype(np.float32)
        T=m.targets(np.asarray(y,np.float32)); l=m.gradient(w,X,T,out=np.empty_like(w)); print(label,'SKLEARN loss',l,'obj',l+m.penalty.value(w),'zeros',(w==0).sum())
    name="logistic_regression" if len(set(y))==2 else "softmax_regression"
    for a in ("admm","gradient_averaging","model_averaging"):
        r=sim(X,y,{"name":name,"l1":l1},a,label=label,**kw)
        if ref is not None: print('   zeros differ',np.sum((r['w'][:-1]==0)!=(w[:-1]==0)))
if __name__=="__main__":
    S=SETS['l1'](); go(S.X,S.y,.01,'l1')
    go(S.X,S.y,.01,'l1 part',sample_rows=6000)
    X,y=datasets.load_breast_cancer(return_X_y=True); go(X,y,.01,'cancer'); go(X,y,.001,'cancer')
    X,y=datasets.load_digits(return_X_y=True); go(X,y,.003,'digits'); go(X,(y==3)+0,.003,'digits3')
