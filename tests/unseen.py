"""More pairs, met only after the search was written: optimizers, layers, transforms."""

from convention_pairs import Case
import jax, jax.numpy as jnp, numpy as np, torch, torch.nn.functional as F, optax, flax.linen as nn, math
from parity import Pair
CASES={}
def case(name, jax, torch, inputs, says, **o):
    CASES[name]=Case(Pair(jax=jax,torch=torch,inputs=inputs,name=name,**o),says)

def opt_jax(tx, steps=2):
    def run(p,g):
        s=tx.init(p)
        for i in range(steps):
            u,s=tx.update(g*(i+1),s,p); p=optax.apply_updates(p,u)
        return p
    return run
def opt_torch(make, steps=2):
    def run(p,g):
        q=torch.nn.Parameter(p.clone()); o=make([q])
        for i in range(steps):
            q.grad=g*(i+1); o.step()
        return q.detach()
    return run
PG={"p":(6,),"g":(6,)}
case("adam eps", opt_jax(optax.adam(0.1,eps=1e-3)), opt_torch(lambda q: torch.optim.Adam(q,0.1,eps=1e-8)), PG, "1e-8|0.001", forward_only=True)
case("adam eps_root", opt_jax(optax.adam(0.1,eps=0.0,eps_root=1e-4)), opt_torch(lambda q: torch.optim.Adam(q,0.1,eps=1e-4)), PG, "epsilon|eps", forward_only=True)
case("adam b2", opt_jax(optax.adam(0.1,b2=0.99)), opt_torch(lambda q: torch.optim.Adam(q,0.1)), PG, "0.99", forward_only=True)
case("adamw decay", opt_jax(optax.adamw(0.1,weight_decay=1e-4)), opt_torch(lambda q: torch.optim.AdamW(q,0.1)), PG, "0.01|0.0001|0.001|0.999", forward_only=True)
case("rmsprop", opt_jax(optax.rmsprop(0.1,decay=0.9,eps=1e-8)), opt_torch(lambda q: torch.optim.RMSprop(q,0.1,alpha=0.9,eps=1e-8)), PG, "eps", forward_only=True)
case("rmsprop defaults", opt_jax(optax.rmsprop(0.1)), opt_torch(lambda q: torch.optim.RMSprop(q,0.1)), PG, "0.9", forward_only=True)
case("sgd nesterov", opt_jax(optax.sgd(0.1,momentum=0.9,nesterov=True)), opt_torch(lambda q: torch.optim.SGD(q,0.1,momentum=0.9)), PG, "", forward_only=True)
case("sgd dampening", opt_jax(optax.sgd(0.1,momentum=0.9)), opt_torch(lambda q: torch.optim.SGD(q,0.1,momentum=0.9,dampening=0.5)), PG, "0.5|damp", forward_only=True)
case("adagrad", opt_jax(optax.adagrad(0.1)), opt_torch(lambda q: torch.optim.Adagrad(q,0.1)), PG, "0.1", forward_only=True)
case("lion lr", opt_jax(optax.sgd(0.05)), opt_torch(lambda q: torch.optim.SGD(q,0.1)), PG, "0.05|0.1|2", forward_only=True)
case("adam coupled decay", opt_jax(optax.adamw(0.1,weight_decay=0.01)), opt_torch(lambda q: torch.optim.Adam(q,0.1,weight_decay=0.01)), PG, "", forward_only=True)
case("adamax eps", opt_jax(optax.adamax(0.1,eps=1e-3)), opt_torch(lambda q: torch.optim.Adamax(q,0.1,eps=1e-2)), PG, "eps", forward_only=True)

X={"x":(7,5)}
case("bn eps flax", lambda x: nn.BatchNorm(use_running_average=False,dtype=x.dtype,param_dtype=x.dtype,epsilon=1e-3).apply({"params":{"scale":jnp.ones(5,x.dtype),"bias":jnp.zeros(5,x.dtype)},"batch_stats":{"mean":jnp.zeros(5,x.dtype),"var":jnp.ones(5,x.dtype)}},x,mutable=["batch_stats"])[0],
     lambda x: F.batch_norm(x,None,None,training=True), X, "0.001|1e-5")
case("instance norm", lambda x: (x-x.mean(2,keepdims=True))/jnp.sqrt(x.var(2,keepdims=True,ddof=1)+1e-5), lambda x: F.instance_norm(x), {"x":(2,3,6)}, "ddof|6|5")
case("lrn", lambda x: x/(1+1e-4*jnp.stack([ (x[:,max(0,i-1):i+2]**2).sum(1) for i in range(x.shape[1])],1))**0.75, lambda x: F.local_response_norm(x,3), {"x":(2,5,4)}, "3.3|0.0001|3|1/3")
case("glu halves", lambda x: jax.nn.sigmoid(x[:,:3])*x[:,3:], lambda x: F.glu(x), {"x":(4,6)}, r"\[1, 0\]")
case("pixel shuffle", lambda x: x.reshape(2,2,2,3,4,4).transpose(0,3,4,1,5,2).reshape(2,3,8,8), lambda x: F.pixel_shuffle(x,2), {"x":(2,12,4,4)}, "interleaved")
case("bilinear vs nearest?", lambda x: jnp.repeat(x,2,axis=1), lambda x: F.interpolate(x[None],scale_factor=2,mode="nearest")[0], {"x":(3,4)}, "")
case("one-hot smoothing over C-1", lambda x: -(jax.nn.log_softmax(x)*(jnp.eye(7,5,dtype=x.dtype)*(0.9-0.1/4)+0.1/4)).sum(), lambda x: -(x.log_softmax(-1)*(torch.eye(7,5,dtype=x.dtype)*0.9+0.1/5)).sum(), X, "and")
case("smooth l1 beta", lambda x,y: optax.huber_loss(x,y,delta=1.0).mean(), lambda x,y: F.smooth_l1_loss(x,y,beta=0.3), {"x":(7,5),"y":(7,5)}, "")
case("cosine embedding", lambda x,y: optax.cosine_similarity(x,y,epsilon=1e-2), lambda x,y: F.cosine_similarity(x,y,eps=1e-8), {"x":(7,5),"y":(7,5)}, "")
case("gaussian nll full", lambda x,y,v: (0.5*(jnp.log(v)+(x-y)**2/v)+0.5*math.log(2*math.pi)).mean(), lambda x,y,v: F.gaussian_nll_loss(x,y,v), lambda rng: {"x":rng.normal(size=(4,3)),"y":rng.normal(size=(4,3)),"v":rng.uniform(.5,2,(4,3))}, "shifted|term")
case("poisson nll log_input", lambda x,y: (jnp.exp(x)-y*x).mean(), lambda x,y: F.poisson_nll_loss(x,y,log_input=False), lambda rng: {"x":rng.uniform(.5,2,(4,3)),"y":rng.uniform(.5,2,(4,3))}, "")
case("hinge embedding", lambda x: jnp.maximum(0,0.5-x).mean(), lambda x: F.hinge_embedding_loss(x,-torch.ones_like(x)), X, "0.5|1")
case("logit eps", lambda x: jnp.log(x/(1-x)), lambda x: torch.logit(x,eps=1e-2), lambda rng: {"x": np.array([[.001,.3,.5],[.9,.9999,.2]])}, "")
case("celu alpha", jax.nn.celu, lambda x: F.celu(x,alpha=2.0), X, "alpha = 1|2")
case("hardtanh range", lambda x: jnp.clip(x,-1,1), lambda x: F.hardtanh(x,-2,2), X, "and|min|max")
case("relu6", lambda x: jnp.clip(x,0,6), lambda x: F.relu6(4*x), X, "")
case("softshrink", lambda x: jnp.sign(x)*jnp.maximum(jnp.abs(x)-0.3,0), F.softshrink, X, "0.3|0.5")
case("threshold", lambda x: jnp.where(x>0.5,x,0.1), lambda x: F.threshold(x,0.5,0.0), X, "0.1")
case("prelu sign", lambda x,a: jnp.where(x>0,x,-a*x), lambda x,a: F.prelu(x,a), {"x":(7,5),"a":(1,)}, "-1")
case("logsigmoid base", lambda x: jax.nn.log_sigmoid(x)/math.log(10), F.logsigmoid, X, "ln 10|2.30")
case("trapezoid dx", lambda x: jnp.trapezoid(x,dx=0.1), lambda x: torch.trapezoid(x,dim=-1), X, "0.1|10")
case("norm p", lambda x: (jnp.abs(x)**3).sum(-1)**(1/3), lambda x: torch.norm(x,p=2,dim=-1), X, "p = 3|ord = 3|3")
case("cdist squared", lambda x,y: ((x[:,None]-y[None])**2).sum(-1), lambda x,y: torch.cdist(x,y), {"x":(4,3),"y":(5,3)}, "")
case("quantile lower", lambda x: jnp.quantile(x,0.3,axis=0), lambda x: torch.quantile(x,0.3,dim=0,interpolation="lower"), X, "floor|ceil|lower")
case("kron order", lambda x,y: jnp.kron(y,x), lambda x,y: torch.kron(x,y), {"x":(3,3),"y":(3,3)}, "exchanged")
case("tril vs triu", lambda x: jnp.tril(x), lambda x: torch.triu(x), {"x":(5,5)}, "transposed|put back")
case("tril diagonal", lambda x: jnp.tril(x,-1), lambda x: torch.tril(x), {"x":(5,5)}, "diagonal|> for|>= |-1")
case("attention causal flip", lambda q,k,v: jax.nn.softmax(jnp.where(jnp.tril(jnp.ones((4,4),bool)),q@k.T/2,-jnp.inf))@v, lambda q,k,v: F.scaled_dot_product_attention(q,k,v,is_causal=True,scale=1.0), {"q":(4,4),"k":(4,4),"v":(4,4)}, "2|0.5")
case("rfft n", lambda x: jnp.fft.rfft(x).real, lambda x: torch.fft.rfft(x,norm="forward").real, {"x":(3,8)}, "1/8|8")
case("stft window periodic", lambda x: x*(0.5-0.5*jnp.cos(2*jnp.pi*jnp.arange(8)/7)).astype(x.dtype), lambda x: x*torch.hann_window(8,dtype=x.dtype), {"x":(8,)}, "8|7")
case("positional base", lambda x: x+jnp.sin(jnp.arange(7,dtype=x.dtype)[:,None]/1000.0**(jnp.arange(5,dtype=x.dtype)/5)), lambda x: x+torch.sin(torch.arange(7,dtype=x.dtype)[:,None]/10000.0**(torch.arange(5,dtype=x.dtype)/5)), X, "1000")
case("lstm forget bias", lambda x,h,w: jax.nn.sigmoid(x+1.0)*h+jnp.tanh(w), lambda x,h,w: torch.sigmoid(x)*h+torch.tanh(w), {"x":(3,4),"h":(3,4),"w":(3,4)}, "= 0 .*1|shifted by 1")
case("gru reset before/after", lambda h,r,w: jnp.tanh((jax.nn.sigmoid(r)*h)@w), lambda h,r,w: torch.tanh(torch.sigmoid(r)*(h@w)), {"h":(3,4),"r":(3,4),"w":(4,4)}, "")
case("conv flip 2d", lambda x,w: jax.lax.conv_general_dilated(x,w[:,:,::-1,::-1],(1,1),"VALID"), lambda x,w: F.conv2d(x,w), {"x":(1,2,6,6),"w":(3,2,3,3)}, "w is flipped along axis 2 and 3")
case("conv transpose kernel", lambda x,w: jax.lax.conv_transpose(x,w,(2,),"VALID",dimension_numbers=("NCH","IOH","NCH")), lambda x,w: F.conv_transpose1d(x,w,stride=2), {"x":(1,2,6),"w":(2,3,4)}, "w is flipped along axis 2")
case("same padding", lambda x,w: jax.lax.conv_general_dilated(x,w,(2,),"SAME",dimension_numbers=("NCH","OIH","NCH")), lambda x,w: F.conv1d(x,w,stride=2,padding=1), {"x":(1,2,8),"w":(3,2,3)}, "")
case("mean of masked", lambda x,m: (x*m).sum()/m.sum(), lambda x,m: (x*m).mean(), lambda rng: {"x":rng.normal(size=(4,5)),"m":(np.arange(20).reshape(4,5)%3>0).astype(float)}, "")
case("complex conj dot", lambda x,y: jnp.abs(jnp.vdot(x,y)+1), lambda x,y: (torch.dot(x,y)+1).abs(), lambda rng: {"x":rng.normal(size=5)+1j*rng.normal(size=5),"y":rng.normal(size=5)+1j*rng.normal(size=5)}, "x is conj")
