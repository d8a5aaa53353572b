"""The wider family against its peers: the same maps where they follow the formulas; where not, what they do instead.

Everything here goes through `camscope.explain`. Ablation-CAM and Score-CAM also meet their peers in
`test_suffix_methods.py` and `test_masking_methods.py`, as pure methods; guided gradients in `torch/test_guided.py`.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import pytorch_grad_cam as pgc
import torch
import torchcam.methods as tc
import torchvision
from captum.attr import GuidedGradCam, LayerGradCam
from pytorch_grad_cam.kpca_cam import KPCA_CAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torch.nn import functional

import camscope
from camscope.composition import Setting, parse
from camscope.evidence import Evidence
from camscope.methods.pca import eigen_grad_cam
from tests.parity.nets import Net, assert_same, by_autograd, differ_by
from tests.torch.nets import Apply, batch, mlp_head
from tests.torch.nets import Net as Small

pytestmark = pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")

TARGETS = [[1, 3], [4, 0]]
"""Two classes for each of two images."""
FIRST = [row[0] for row in TARGETS]


def small(size: int = 16, seed: int = 0, **options) -> Net:
    """stem (half the input's size) → body (a quarter) → a head that is not linear; ReLUs that do not work in place."""
    model = Small(mlp_head((size // 4) ** 2), seed=seed, **options).eval()
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return Net(model, batch(2, 3, size, size))


def same_size() -> Net:
    """`features` has the input's own size, so that no mask has to be resized."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        features = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()
        )
    model = nn.Sequential()
    model.add_module("features", features)
    model.add_module("head", nn.Sequential(nn.AvgPool2d(3), nn.ReLU(), *mlp_head(16, channels=6)))
    return Net(model.eval(), batch(2, 3, 12, 12))


def mine(case: Net, layer: str | list[str] | None, method: str) -> torch.Tensor:
    """Our raw maps of `FIRST`, `image *space`."""
    targets = camscope.PerImage(FIRST)
    return camscope.explain(case.model, case.x, methods=method, targets=targets, layers=layer).maps()[:, 0]


def seen(case: Net, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations and gradients of `FIRST`."""
    return by_autograd(case, layer, FIRST)


def of_pgc(cam_class, case: Net, layer: str, targets=None, **options) -> np.ndarray:
    """Its maps before ReLU and scaling, `image *space`."""
    targets = [ClassifierOutputTarget(c) for c in FIRST] if targets is None else targets
    raw = []

    class Watched(cam_class):
        def get_cam_image(self, *args, **kwargs):
            raw.append(super().get_cam_image(*args, **kwargs))
            return raw[-1]

    model = copy.deepcopy(case.model)  # it changes what it is given
    with Watched(model, [model.get_submodule(layer)], **options) as cam:
        cam(case.x, targets)
    return raw[0]


def of_tc(cam, case: Net, **options) -> torch.Tensor:
    """Its maps before its own scaling, `image *space`."""
    with cam:
        scores = case.model(case.x)
        return cam(FIRST, scores, normalized=False, **options)[0].detach()


# ---------------------------------------------------------------------- Ablation-CAM


@pytest.mark.parametrize("shift", [50.0, -50.0], ids=["positive scores", "negative scores"])
def test_ablationcam_is_pytorch_grad_cams_but_for_the_sign_of_negative_scores(shift):
    """Its divisor is y itself, so a class with a negative score gets the map of the evidence against it."""
    case = small()
    case.model.head[-1].bias.data += shift
    ours, theirs = mine(case, "body", "ablationcam"), of_pgc(pgc.AblationCAM, case, "body")
    assert_same(
        ours, np.sign(shift) * theirs, rectify=False, tolerance=1e-4
    )  # its weights are single precision


def test_defect_ablation_of_signed_activations():
    """Where the least activation is not zero it puts in that minus ten million instead of zero."""
    case = small()
    case.model.body[2] = nn.Identity()
    case.model.head[-1].bias.data += 50
    A = seen(case, "body")[0]
    assert A.min() < -0.1, "a batch norm puts out negative values"
    y = case.model(case.x)[range(2), FIRST]
    drops = []
    for k in range(A.shape[1]):
        without = A.clone()
        without[:, k] = 0
        drops.append(y - case.model.head(without)[range(2), FIRST])
    right = (torch.stack(drops, 1).detach()[..., None, None] * A).sum(1)
    assert_same(mine(case, "body", "ablationcam"), right, rectify=False, tolerance=1e-4)
    if differ_by(right, of_pgc(pgc.AblationCAM, case, "body"), rectify=False) < 1e-3:
        pytest.skip("fixed upstream: it sets ablated channels to zero")


# ---------------------------------------------------------------------- Score-CAM and its kin


def score_cam_by_hand(case: Net, layer: str, resized_first: bool) -> torch.Tensor:
    """Algorithm 1 on logits, the masks scaled after they are resized, or before."""
    A = seen(case, layer)[0]
    up = nn.Upsample(case.x.shape[2:], mode="bilinear")

    def unit(m):
        low, high = m.amin((2, 3), keepdim=True), m.amax((2, 3), keepdim=True)
        return (m - low) / (high - low).clamp(min=1e-12)

    H = unit(up(A)) if resized_first else up(unit(A))
    with torch.no_grad():
        scores = [case.model(H[i][:, None] * case.x[i])[:, FIRST[i]] for i in range(2)]
    return (torch.stack(scores).softmax(1)[..., None, None] * A).sum(1)


def test_scorecam_is_both_peers_where_no_mask_is_resized():
    case = same_size()
    ours = mine(case, "features", "scorecam-paper-logit")
    assert_same(ours, of_tc(tc.ScoreCAM(case.model, "features", input_shape=(3, 12, 12)), case))
    assert_same(ours, of_pgc(pgc.ScoreCAM, case, "features"))


def test_defect_torch_cam_scales_masks_before_it_resizes_them():
    case = small()
    right = score_cam_by_hand(case, "stem", resized_first=True)
    assert_same(mine(case, "stem", "scorecam-paper-logit"), right)
    theirs = of_tc(tc.ScoreCAM(case.model, "stem", input_shape=(3, 16, 16)), case)
    if differ_by(right, theirs) < 1e-5:
        pytest.skip("fixed upstream: it resizes masks first")
    assert_same(score_cam_by_hand(case, "stem", resized_first=False), theirs)


def test_defect_pytorch_grad_cam_resizes_masks_with_corners_aligned():
    """Against its own heatmaps, which it resizes by pixel areas, as we do."""
    case = small()
    theirs = of_pgc(pgc.ScoreCAM, case, "stem")
    right = score_cam_by_hand(case, "stem", resized_first=True)
    assert_same(mine(case, "stem", "scorecam-paper-logit"), right)
    if differ_by(right, theirs) < 1e-5:
        pytest.skip("fixed upstream: its masks are resized by pixel areas")


def test_defect_iscams_masks_grow_above_one():
    """Torch-cam adds up the coefficients of the path: its last masks are several times the channel."""
    case = small()
    largest: list[float] = []

    def watch(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        largest.append(float(inputs[0].abs().max() / case.x.abs().max()))

    handle = case.model.register_forward_pre_hook(watch)
    mine(case, "body", "iscam")
    assert max(largest) <= 1 + 1e-6
    largest.clear()
    of_tc(tc.ISCAM(case.model, "body", input_shape=(3, 16, 16)), case)
    handle.remove()
    if max(largest) < 1.01:
        pytest.skip("fixed upstream: its path ends at the input")
    assert max(largest) > 3


# ---------------------------------------------------------------------- principal components, FEM


def test_eigengradcam_is_pytorch_grad_cams_of_centred_products_up_to_its_sign():
    """It centres each channel of g ⊙ A, as its Eigen-CAM does; with those both are one projection."""
    case = small()
    A, g = seen(case, "stem")
    centred = A * g - (A * g).mean((2, 3), keepdim=True)
    ours = eigen_grad_cam(Evidence(centred, torch.ones_like(centred)[:, None]))[:, 0]
    assert_same(ours, turned_as(ours, of_pgc(pgc.EigenGradCAM, case, "stem")), rectify=False)
    X = (A * g).flatten(2).transpose(1, 2)
    u, s, _ = torch.linalg.svd(X, full_matrices=False)
    by_svd = (u[..., 0] * s[:, :1]).unflatten(1, A.shape[2:])
    whole = mine(case, "stem", "eigengradcam")
    assert_same(whole, turned_as(whole, by_svd), rectify=False, tolerance=1e-4)


@pytest.mark.parametrize("kernel", ["sigmoid", "rbf"])
def test_kpcacam_is_pytorch_grad_cams_up_to_its_sign(kernel):
    case = small()
    ours = mine(case, "stem", f"kpcacam(kernel={kernel})")
    theirs = of_pgc(KPCA_CAM, case, "stem", kernel=kernel)
    assert_same(
        ours, turned_as(ours, theirs), rectify=False, tolerance=1e-3
    )  # it decomposes in single precision


def turned_as(ours: torch.Tensor, theirs) -> np.ndarray:
    """Each of their maps, or its negative, whichever agrees with ours."""
    theirs = np.asarray(theirs)
    return theirs * np.sign((theirs * ours.numpy()).sum((1, 2), keepdims=True))


def test_gradcam_elementwise():
    case = small()
    assert_same(mine(case, "stem", "gradcam-elementwise"), of_pgc(pgc.GradCAMElementWise, case, "stem"))


def test_defect_fem_weighs_the_channel_by_how_often_it_is_rare():
    """Σ_k μ_k 1[A^k > μ_k + 2σ_k] is the paper's; theirs is Σ_k mean(1[…]) A^k."""
    case = small(32)
    A = seen(case, "stem")[0]
    mean, spread = A.mean((2, 3), keepdim=True), A.std((2, 3), keepdim=True, correction=0)
    rare = (mean + 2 * spread < A).float()
    assert_same(mine(case, "stem", "fem"), (mean * rare).sum(1))
    theirs = of_pgc(pgc.FEM, case, "stem")
    if differ_by((mean * rare).sum(1), theirs) < 1e-5:
        pytest.skip("fixed upstream: its FEM follows the paper")
    assert_same((rare.mean((2, 3), keepdim=True) * A).sum(1), theirs)


# ---------------------------------------------------------------------- FullGrad


def full_grad_by_hand(case: Net, *, jointly: bool) -> torch.Tensor:
    """Of conv and batch norm layers, min and max over all channels of an image jointly, or each channel's own."""
    layers = [m for m in case.model.modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d))]
    outputs: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        output.retain_grad()
        outputs.append(output)

    x = case.x.clone().requires_grad_()
    handles = [m.register_forward_hook(keep) for m in layers]
    case.model(x)[range(2), FIRST].sum().backward()
    for handle in handles:
        handle.remove()
    terms = [x.grad * x.detach()]
    for module, output in zip(layers, outputs, strict=True):
        bias = module.bias
        if isinstance(module, nn.BatchNorm2d):
            bias = bias - module.weight * module.running_mean / (module.running_var + module.eps).sqrt()
        terms.append(bias.detach()[:, None, None] * output.grad)
    case.model.zero_grad()

    def scaled(term):
        size, axes = term.abs(), (1, 2, 3) if jointly else (2, 3)
        low, high = size.amin(axes, keepdim=True), size.amax(axes, keepdim=True)
        unit = (size - low) / torch.where(high > low, high - low, torch.ones_like(high))
        return functional.interpolate(unit.sum(1, keepdim=True), case.x.shape[2:], mode="bilinear")[:, 0]

    return sum(map(scaled, terms))


def test_defect_fullgrad_scales_each_channel_by_itself():
    """The paper's ψ keeps which channel matters; theirs gives all of them the same weight."""
    case = small()
    right = full_grad_by_hand(case, jointly=True)
    assert_same(mine(case, "body", "fullgrad"), right, rectify=False)
    model = copy.deepcopy(case.model)
    with pgc.FullGrad(model, []) as cam:
        theirs = cam(case.x, [ClassifierOutputTarget(c) for c in FIRST])
    if differ_by(right, theirs, rectify=False) < 1e-3:
        pytest.skip("fixed upstream: it scales all channels jointly")
    assert_same(full_grad_by_hand(case, jointly=False), theirs, rectify=False, tolerance=1e-3)


# ---------------------------------------------------------------------- ShapleyCAM


class Rest:
    """Its own library's words for logit + log-probability: the logit minus the cross-entropy."""

    def __init__(self, category: int) -> None:
        self.category = category

    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        return output[self.category] - functional.cross_entropy(output, torch.tensor(self.category))


def test_shapleycam_is_pytorch_grad_cams_with_the_rest_target():
    case = small()
    rest = [Rest(c) for c in FIRST]
    ours = mine(case, "stem", "shapleycam")
    assert_same(ours, of_pgc(pgc.ShapleyCAM, case, "stem", rest), rectify=False)
    assert_same(mine(case, "stem", "shapley"), of_pgc(pgc.ShapleyCAM, case, "stem"), rectify=False)
    gradcam = mine(case, "stem", "rest(gradcam)")
    assert differ_by(ours, gradcam, rectify=False) > 1e-3, "the second-order term counts here"


# ---------------------------------------------------------------------- Finer-CAM


@pytest.mark.parametrize(("method", "base"), [("finercam", tc.GradCAM), ("finer(layercam)", tc.LayerCAM)])
def test_finercam_is_torch_cams(method, base):
    """The mean over the three nearest classes, γ = 0.6."""
    case = small()
    cam = tc.FinerCAM(case.model, "body", input_shape=(3, 16, 16), base_method=base)
    assert_same(mine(case, "body", method), of_tc(cam, case))


def test_defect_finercams_weights_take_part_in_the_gradient():
    """In pytorch-grad-cam the probabilities that weigh the classes are differentiated too."""
    case = small()
    logits = case.model(case.x)
    scores = []
    for image, c in enumerate(FIRST):
        y = logits[image]
        others = [d for d in (y - y[c]).abs().argsort().tolist() if d != c][:3]
        share = y.softmax(0)[others].detach()
        scores.append(y[c] - (share * y[others]).sum() / share.sum())
    ours = mine(case, "body", "finer(gradcam, gamma=1, weighting=softmax)")

    A = case.model.body(case.model.stem(case.x)).detach().requires_grad_()
    y = case.model.head(A)
    total, flowing = torch.zeros(()), torch.zeros(())
    for image, c in enumerate(FIRST):
        others = [d for d in (y[image] - y[image, c]).abs().argsort().tolist() if d != c][:3]
        share = y[image].softmax(0)[others]
        total = total + y[image, c] - (share.detach() * y[image, others]).sum() / share.detach().sum()
        flowing = flowing + y[image, c] - (share * y[image, others]).sum() / share.sum()
    right, wrong = (
        (torch.autograd.grad(s, A, retain_graph=True)[0].mean((2, 3), keepdim=True) * A.detach()).sum(1)
        for s in (total, flowing)
    )
    assert_same(ours, right)
    theirs = finer_of_pgc(case, FIRST)
    if differ_by(right, theirs) < 1e-4:
        pytest.skip("fixed upstream: its weights are constants")
    assert_same(wrong, theirs, tolerance=1e-4)


def finer_of_pgc(case: Net, classes: list[int]) -> np.ndarray:
    """Its Finer-CAM before scaling, one image at a time: it takes one class for all."""
    maps = []
    for image, c in enumerate(classes):
        model = copy.deepcopy(case.model)
        cam = pgc.FinerCAM(model, [model.body], base_method=pgc.GradCAM)
        cam(case.x[image : image + 1], target_idx=c)
        seen = cam.base_cam.activations_and_grads
        weights = seen.gradients[0].mean((2, 3), keepdim=True)
        maps.append((weights * seen.activations[0]).sum(1)[0].numpy())
        seen.release()
    return np.stack(maps)


def test_defect_finercam_of_equal_scores_explains_another_class():
    """Its main class is the first at distance zero from the wanted score, which may be another with the same score."""
    case = small()

    def level(y: torch.Tensor) -> torch.Tensor:
        """All classes score zero, each for reasons of its own."""
        return y - y.detach()

    one = Net(nn.Sequential(case.model, Apply(level)), case.x[:1])
    layer = "0.body"

    def ours(target: int) -> torch.Tensor:
        return camscope.explain(one.model, one.x, methods="gradcam", targets=target, layers=layer).heatmaps()[
            :, 0
        ]

    model = copy.deepcopy(one.model)
    cam = pgc.FinerCAM(model, [model.get_submodule(layer)], base_method=pgc.GradCAM)
    theirs = cam(one.x, target_idx=4, alpha=0)
    cam.base_cam.activations_and_grads.release()
    if differ_by(ours(4), theirs) < 1e-4:
        pytest.skip("fixed upstream: it explains the class that was asked for")
    assert_same(ours(0), theirs, tolerance=1e-4)


# ---------------------------------------------------------------------- RefineCAM


def test_refinecam_is_torch_cams_of_a_method_that_it_computes_right():
    """Its product; and its default, Grad-CAM++ of cubed gradients, which ours is not."""
    case = small()
    layers = ["stem", "body"]
    ours = mine(case, layers, "fuse(layercam, how=product)")
    cam = tc.RefineCAM(case.model, layers, input_shape=(3, 16, 16), base_method=tc.LayerCAM)
    assert_same(ours, of_tc(cam, case), rectify=False)

    default = of_tc(tc.RefineCAM(case.model, layers, input_shape=(3, 16, 16)), case)
    if differ_by(mine(case, layers, "refinecam"), default, rectify=False) < 1e-4:
        pytest.skip("fixed upstream: its Grad-CAM++ follows the formula")


def test_refinecam_is_pytorch_grad_cams_where_the_finest_layer_is_as_large_as_the_input():
    """It resizes to the input's size before it multiplies, which is the same there."""
    case = same_size()
    model = copy.deepcopy(case.model)
    layers = [model.features, model.head[0]]
    theirs = pgc.refine_cam.RefineCAM(model, layers, base_method=pgc.LayerCAM)(
        case.x, [ClassifierOutputTarget(c) for c in FIRST]
    )
    ours = mine(case, ["features", "head.0"], "fuse(layercam, how=product)")
    assert_same(ours, theirs, rectify=False, tolerance=1e-4)


# ---------------------------------------------------------------------- guided Grad-CAM, smoothing


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_guided_gradcam_is_captums_summed_over_the_inputs_channels():
    case = small()
    peer = GuidedGradCam(case.model, case.layer("body"))
    theirs = peer.attribute(case.x.clone().requires_grad_(), target=FIRST, interpolate_mode="bilinear")
    assert_same(mine(case, "body", "guided-gradcam"), theirs.detach().sum(1), rectify=False)


def test_defect_guided_backpropagation_overlooks_a_relu_that_is_no_module():
    """A functional ReLU: pytorch-grad-cam guides nothing and returns the plain gradient; to us it is a ReLU."""
    case = small()
    functional_model = copy.deepcopy(case.model)
    for block in (functional_model.stem, functional_model.body):
        block[2] = Apply(functional.relu)
    plain = case.x[:1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(case.model(plain)[0, FIRST[0]], plain)
    peer = pgc.GuidedBackpropReLUModel(copy.deepcopy(functional_model))
    theirs = peer(case.x[:1].clone(), FIRST[0]).transpose(2, 0, 1)
    as_modules = mine(case, "body", "guided-gradcam")
    same = mine(Net(functional_model, case.x), "body", "guided-gradcam")
    torch.testing.assert_close(same, as_modules)
    if not np.allclose(theirs, gradient[0], atol=1e-6):
        pytest.skip("fixed upstream: it finds functional ReLUs")


def test_smooth_is_the_mean_of_captums_maps_over_the_same_noisy_inputs():
    """What NoiseTunnel means by smoothgrad, with our noise: theirs is drawn from the user's random state."""
    case = small()
    noisy = [copy.build(case.x) for copy in parse("smooth(gradcam, n=3)").copies(Setting(0, None))]
    peer = LayerGradCam(case.model, case.layer("body"))
    theirs = torch.stack([peer.attribute(x, target=FIRST)[:, 0].detach() for x in noisy]).mean(0)
    ours = mine(case, "body", "smooth(gradcam, n=3)")
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6 * float(theirs.abs().max()))


def test_defect_smooth_gradcam_plus_plus_is_not_gradcam_plus_plus_without_noise():
    """Ours of no noise is Grad-CAM++. Torch-cam's sums A g³ over space where the formula has S_k g³."""
    case = small()
    right = mine(case, "body", "gradcam++")
    ours = mine(case, "body", "smooth(gradcam++, n=2, sigma=0, average=gradients)")
    assert_same(ours, right)
    cam = tc.SmoothGradCAMpp(case.model, "body", num_samples=2, std=1e-9, input_shape=(3, 16, 16))
    with cam:
        case.model(case.x)
        theirs = cam(FIRST, normalized=False)[0].detach()
    if differ_by(right, theirs) < 1e-4:
        pytest.skip("fixed upstream: without noise it is Grad-CAM++")
    A, g = seen(case, "body")
    alpha = g**2 / (2 * g**2 + (A * g**3).sum((2, 3), keepdim=True) + 1e-8)
    assert_same(((alpha * g.clamp(min=0)).sum((2, 3), keepdim=True) * A).sum(1), theirs, tolerance=1e-3)


# ---------------------------------------------------------------------- LeGrad


def test_legrad_is_torch_cams_with_the_models_own_reading():
    """Given the head as it reads CLS and all blocks. By default it averages the tokens, which this head never saw."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torchvision.models.VisionTransformer(32, 8, 3, 2, 24, 48, num_classes=5).eval()
        nn.init.normal_(model.heads[-1].weight, std=0.3)
    case = Net(model, batch(2, 3, 32, 32), prefix=1)
    blocks = list(model.encoder.layers)

    def reads_cls(tokens: torch.Tensor) -> torch.Tensor:
        return model.heads(model.encoder.ln(tokens)[:, 0])

    ours = mine(case, None, "legrad")
    assert_same(ours, of_tc(tc.LeGrad(model, blocks, score_projection=reads_cls), case))
    assert differ_by(ours, of_tc(tc.LeGrad(model, blocks), case)) > 0.01
