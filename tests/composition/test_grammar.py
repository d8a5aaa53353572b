"""Methods and compositions as text: what is written is what is meant, and what makes no sense says what would."""

from __future__ import annotations

import dataclasses
import re
import typing
from contextlib import suppress
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import camscope
from camscope.composition import (
    COMPOSITIONS,
    NAMED,
    Augment,
    Balanced,
    Composition,
    Expression,
    Finer,
    Fuse,
    MultiScale,
    PathIntegral,
    Rest,
    Smooth,
    check,
    fuses,
    modifiers_of,
    parse,
    simplified,
    split,
)
from camscope.errors import MethodError
from camscope.methods import Method, get_method, list_methods
from camscope.methods.parameters import Range, signature

# ------------------------------------------------------------------ any expression there can be


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """What fits a parameter of this type."""
    if get_origin(kind) in (Union, UnionType):
        return st.one_of([values_of(one) for one in get_args(kind)])
    if kind is NoneType:
        return st.none()
    limits = Range(-1e6, 1e6)
    if get_origin(kind) is Annotated:
        kind, limits = get_args(kind)
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) is tuple:
        return st.lists(values_of(get_args(kind)[0]), min_size=1, max_size=3).map(tuple)
    high = min(limits.high, 1e6)
    if kind is int:
        return st.integers(int(limits.low), int(high))
    if kind is float:
        return st.floats(limits.low, high)
    if kind is bool:
        return st.booleans()
    assert kind is str  # augment's transforms
    factors = st.floats(0.01, 3).map(str)
    turned = st.sampled_from(["identity", "flip", "flipud", "rot90"])
    return st.one_of(factors, turned, st.tuples(turned, factors).map("*".join))


def some_of(parameters: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: values_of(kind) for name, kind in parameters.items()})


def method_of(m: Method) -> st.SearchStrategy[Method]:
    kinds = {name: kind for name, (kind, _) in signature(m.function).items()}
    return some_of(kinds).map(lambda given: m.with_parameters(**given))


def around(kind: type[Composition], inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {f.name: hints[f.name] for f in dataclasses.fields(kind) if f.name != "inner"}
    return st.tuples(inner, some_of(fields)).map(lambda made: kind(made[0], **made[1]))


METHOD = st.sampled_from(list_methods()).flatmap(method_of)
EXPRESSION: st.SearchStrategy[Expression] = st.recursive(
    st.one_of(METHOD, st.sampled_from(list(NAMED.values()))),
    lambda inner: st.one_of([around(kind, inner) for kind in COMPOSITIONS.values()]),
    max_leaves=1,
)


@given(EXPRESSION)
@example(Smooth("gradcam", sigma=0.123456789))  # more digits than are shown by default
@example(Augment("gradcam", transforms=("1.0", "flip")))  # a word that reads as a number
@example(MultiScale("hirescam", sizes=(1 / 3, 2.0)))
@settings(deadline=None, max_examples=300)
def test_a_name_reads_back_as_what_it_names(expression):
    assert parse(expression.name) == expression
    assert parse(parse(expression.name)) == expression


@given(EXPRESSION, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_blanks_mean_nothing(expression, random):
    name = re.sub(
        r"([(),=\[\]])",
        lambda m: " " * random.randint(0, 2) + m[1] + " " * random.randint(0, 2),
        expression.name,
    )
    assert parse(f"  {name}  ") == expression


@given(st.lists(EXPRESSION, max_size=4))
@settings(deadline=None, max_examples=50)
def test_a_list_falls_apart_at_its_own_commas_only(expressions):
    names = [e.name for e in expressions]
    assert split(", ".join(names)) == names
    assert split(",".join(names)) == names


@given(EXPRESSION)
@settings(deadline=None, max_examples=200)
def test_simplified_is_the_same_thing_with_nothing_left_to_simplify(expression):
    plain = simplified(expression)
    assert simplified(plain) == plain
    assert plain.method == expression.method
    assert parse(plain.name) == plain
    assert fuses(plain) == fuses(expression)
    # the facts a reader needs are those of what is run
    assert plain.class_specific == expression.class_specific
    assert plain.rectified == expression.rectified
    # no name of the literature is left, and what changes the target stands around the method itself
    inside: list[Expression] = []
    e: Expression = plain
    while isinstance(e, Composition):
        assert e.word in COMPOSITIONS
        inside.append(e)
        e = e.inner
    changing = [isinstance(e, (Finer, Rest, Balanced)) for e in inside]
    assert changing == sorted(changing)
    # nothing is lost, and among themselves the others keep their order
    assert sorted(e.word for e in inside) == sorted(words_in(expression))
    others = [w for w in words_in(expression) if w not in ("finer", "rest", "balanced")]
    assert [e.word for e, changes in zip(inside, changing, strict=True) if not changes] == others


def words_in(e: Expression) -> list[str]:
    if not isinstance(e, Composition):
        return []
    return [e.word, *words_in(e.inner)] if e.word in COMPOSITIONS else words_in(e.inner)


@given(st.text(alphabet="smooth(),=[]gradcam n1.e- ", max_size=20))
@settings(deadline=None, max_examples=300)
def test_any_text_is_a_method_or_one_error(text):
    with suppress(MethodError):  # and nothing else
        assert parse(parse(text).name)


@given(EXPRESSION)
@settings(deadline=None, max_examples=200)
def test_any_expression_has_meaning_or_is_one_error(expression):
    with suppress(MethodError):
        check(simplified(expression))


# ------------------------------------------------------------------ what is meant


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gradcam", get_method("gradcam")),
        (" GradCAM++ ", get_method("gradcam++")),
        ("grad cam", get_method("gradcam")),
        ("Guided  Grad-CAM", get_method("guided-gradcam")),
        ("smooth(layer cam, n=2)", Smooth("layercam", n=2)),
        ("gradcam()", get_method("gradcam")),
        ("scorecam(top=64)", get_method("scorecam").with_parameters(top=64)),
        ("scorecam(top=None)", get_method("scorecam")),
        ("rise(n=100, p=1)", get_method("rise").with_parameters(n=100, p=1.0)),
        ("reciprocam(of=logit)", get_method("reciprocam").with_parameters(of="logit")),
        ("smooth(layercam)", Smooth(get_method("layercam"))),
        ("smooth(layercam, n=4)", Smooth(get_method("layercam"), n=4)),
        ("smooth(layercam, 4)", Smooth(get_method("layercam"), n=4)),
        ("smooth(layercam, 4, 0.1)", Smooth(get_method("layercam"), n=4, sigma=0.1)),
        ("smooth(layercam, 4, sigma=1)", Smooth(get_method("layercam"), n=4, sigma=1.0)),
        ("smooth(layercam, sigma=1e-2,)", Smooth(get_method("layercam"), sigma=0.01)),
        ("Smooth(gradcam, average=gradients)", Smooth(get_method("gradcam"), average="gradients")),
        ("fuse(layercam, max)", Fuse(get_method("layercam"))),
        ("fuse(layercam, product)", Fuse(get_method("layercam"), how="product")),
        ("fuse(finer(gradcam), mean)", Fuse(Finer(get_method("gradcam")), how="mean")),
        ("finer(gradcam, 0.5, 2, softmax)", Finer(get_method("gradcam"), 0.5, 2, "softmax")),
        ("rest(gradcam)", Rest(get_method("gradcam"))),
        ("balanced(hirescam)", Balanced(get_method("hirescam"))),
        ("augment(gradcam, [flip, 0.9])", Augment(get_method("gradcam"), transforms=("flip", "0.9"))),
        ("augment(gradcam, [flip*0.9])", Augment(get_method("gradcam"), transforms=("flip*0.9",))),
        ("multiscale(hirescam, [1, 2], input)", MultiScale(get_method("hirescam"), (1.0, 2.0), "input")),
        ("path(gradcam, zero, 4)", PathIntegral(get_method("gradcam"), "zero", 4)),
        ("smooth(scorecam(top=3), n=2)", Smooth(get_method("scorecam").with_parameters(top=3), n=2)),
        ("smooth(finercam)", Smooth(NAMED["finercam"])),
        ("refinecam", NAMED["refinecam"]),
    ],
)
def test_what_is_written(text, expected):
    assert parse(text) == expected


def test_objects_and_text_are_the_same():
    assert camscope.Smooth("layercam", n=16) == parse("smooth(layercam, n=16)")
    assert camscope.Fuse(camscope.Finer("gradcam")) == parse("fuse(finer(gradcam))")
    assert Smooth("finer(gradcam)", n=2) == parse("smooth(finer(gradcam), n=2)")
    assert Smooth("layercam", n=16) is parse(e := Smooth("layercam", n=16)) or parse(e) is e
    assert MultiScale("hirescam", sizes=[1, 2]) == MultiScale("hirescam", sizes=(1.0, 2.0))
    assert Augment("gradcam", transforms=["flip", 0.9]) == parse("augment(gradcam, [flip, 0.9])")
    assert len({Smooth("gradcam", n=2), parse("smooth(gradcam, n=2)"), Smooth("gradcam", n=3)}) == 2


def test_a_name_says_only_what_is_not_usual():
    assert Smooth("gradcam", n=16, sigma=0.15).name == "smooth(gradcam)"
    assert Smooth("gradcam", n=2).name == "smooth(gradcam, n=2)"
    assert MultiScale("hirescam", sizes=(1, 2.5)).name == "multiscale(hirescam, sizes=[1, 2.5])"


@pytest.mark.parametrize("word", COMPOSITIONS)
def test_every_composition_says_what_it_can_be_given(word):
    kind = COMPOSITIONS[word]
    given = ", ".join(f"{name}={value}".replace("'", "") for name, value in kind.parameters().items())
    given = re.sub(r"\(([^()]*)\)", r"[\1]", given)
    assert parse(f"{word}(gradcam{', ' if given else ''}{given})") == kind("gradcam")


# ------------------------------------------------------------------ what makes no sense


UNREADABLE = {
    "": "it ends where a method is expected",
    "  ": "it ends where a method is expected",
    ")": "there is ')' where a method is expected",
    "smooth(": "it ends where a closing bracket is expected",
    "smooth()": "there is ')' where a method is expected",
    "smooth(gradcam": "it ends where a closing bracket is expected",
    "smooth(gradcam, n=2": "it ends where a closing bracket is expected",
    "smooth(gradcam, n=": "it ends where a value is expected",
    "smooth(gradcam n=4)": "a bracket is not closed",
    "smooth(gradcam, n=4))": "')' comes after its end",
    "gradcam, layercam": "',' comes after its end",
    "multiscale(gradcam, [1, 2": "it ends where a closing bracket is expected",
    "smooth(gradcam, 4, n=8)": "n is given twice",
    "smooth(gradcam, n=4, n=8)": "n is given twice",
    "scorecam(top=3, top=4)": "top is given twice",
    "smooth(gradcam, 1, 2, maps, 4)": "smooth has 3 parameters (n, sigma, average)",
    "balanced(gradcam, 3)": "balanced has 0 parameters (none)",
    "scorecam(64)": "scorecam takes its parameters by name",
    "smooth(" * 3000: "nested too deeply",
}


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda t: t[:30])
def test_text_that_is_no_method_is_shown_with_ones_that_are(text):
    with pytest.raises(MethodError) as error:
        parse(text)
    said = str(error.value)
    assert said.startswith(repr(text))
    assert UNREADABLE[text] in said
    assert "smooth(layercam, n=16)" in said


WRONG = {
    "gradcam layercam": r"There is no method 'gradcam layercam'\. Did you mean 'layercam'",
    "fuse(layercam max)": r"There is no method 'layercam max'\. Did you mean 'layercam'",
    "gradcm": r"There is no method 'gradcm'\. Did you mean 'gradcam'",
    "smooth(layrcam)": r"There is no method 'layrcam'\. Did you mean 'layercam'",
    "smoth(gradcam)": r"There is no method 'smoth'\. Did you mean 'smooth'",
    "finr-cam": r"There is no method 'finr-cam'\. Did you mean 'finercam'",
    "zzz": r"There is no method 'zzz'\. camscope\.list_methods\(\) lists all",
    "smooth": r"smooth goes around a method, for instance smooth\(gradcam\)",
    "scorecam(tpo=3)": r"scorecam has no parameter 'tpo'\. Did you mean 'top'\? It has top\.",
    "gradcam(n=3)": r"gradcam has no parameter 'n'\. It has none\.",
    "smooth(gradcam, sigm=1)": r"smooth has no parameter 'sigm'\. Did you mean 'sigma'\? It has n, sigma, average\.",
    "balanced(gradcam, n=1)": r"balanced has no parameter 'n'\. It has none\.",
    "smooth(gradcam, n=0)": r"smooth: n=0; expected int \(at least 1\)\.",
    "smooth(gradcam, n=2.5)": r"smooth: n=2\.5; expected int",
    "smooth(gradcam, n=true)": r"smooth: n=True; expected int",
    "smooth(gradcam, sigma=-1)": r"smooth: sigma=-1\.0; expected float \(at least 0\)",
    "smooth(gradcam, sigma=1e999)": r"smooth: sigma=inf; expected float",
    "smooth(gradcam, n=[1, 2])": r"smooth: n=\(1, 2\); expected int",
    "smooth(gradcam, average=gradient)": r"expected one of maps, gradients\. Did you mean 'gradients'\?$",
    "fuse(layercam, porduct)": r"one of max, product, mean, cascade\. Did you mean 'product'\?$",
    "path(gradcam, white)": r"path: baseline='white'; expected one of black, zero, blur",
    "finer(gradcam, count=0)": r"finer: count=0; expected int \(at least 1\)",
    "multiscale(hirescam, [])": r"multiscale: sizes=\(\); expected a list that is not empty",
    "multiscale(hirescam, 2)": r"multiscale: sizes=2; expected a list",
    "multiscale(hirescam, [0])": r"multiscale: sizes=0\.0; expected float \(0\.01 to 100\)",
    "multiscale(hirescam, [1, big])": r"multiscale: sizes='big'; expected float",
    "augment(gradcam, flip)": r"augment: transforms='flip'; expected a list",
    "rise(p=2)": r"rise: p=2\.0; expected float \(0.* to ",
    "reciprocam(of=logits)": r"reciprocam: of='logits'; expected one of probability, logit\. Did you mean 'logit'",
    "finercam(gamma=1)": r"finercam is finer\(gradcam\); give it other parameters by writing that out",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_name_or_value_gets_the_nearest_right_one(text):
    with pytest.raises(MethodError, match=WRONG[text]):
        parse(text)


@pytest.mark.parametrize("given", [5, None, Smooth, ["gradcam"], 1.0], ids=str)
def test_a_method_is_text_or_an_expression(given):
    with pytest.raises(MethodError, match=f"by its name, not as {type(given).__name__}"):
        parse(given)
    with pytest.raises(MethodError, match=r"Smooth goes around a method; got .*smooth\(gradcam\)"):
        Smooth(given)


# ------------------------------------------------------------------ what has no meaning


MEANINGLESS = {
    "fuse(rise)": "rise is one map of the whole model; there is nothing to fuse",
    "fuse(fullgrad)": "one map of the whole model",
    "fuse(smooth(rise))": "one map of the whole model",
    "fuse(fuse(gradcam))": "one fusion inside another; fuse once",
    "fuse(refinecam)": "one fusion inside another",
    "fuse(smooth(fuse(gradcam)))": "one fusion inside another",
    "fuse(guided-gradcam)": "at the input's size already; fuse gradcam instead",
    "multiscale(eigencam)": "averages activations and gradients, which eigencam is not a plain method of",
    "multiscale(scorecam)": "gradcam, hirescam or layercam would do, augment(…) averages maps",
    "multiscale(shapley)": "averages activations and gradients",
    "multiscale(rise)": "averages activations and gradients",
    "multiscale(smooth(gradcam))": "averages activations and gradients",
    "multiscale(fuse(gradcam))": "averages activations and gradients",
    "multiscale(guided-gradcam)": "averages activations and gradients",
    "smooth(eigencam, average=gradients)": "averages gradients, which eigencam is not a plain method of",
    "smooth(augment(gradcam), average=gradients)": "gradcam, hirescam or layercam would do, smooth(…) averages maps",
    "smooth(cam, average=gradients)": "averages gradients",
    "finer(eigencam)": "eigencam knows no class, so another target changes nothing",
    "finer(smooth(mean-activation))": "mean-activation knows no class",
    "rest(rollout)": "rollout knows no class",
    "balanced(eigencam)": "eigencam uses no gradients, so there is nothing to balance",
    "balanced(ablationcam)": "uses no gradients",
    "balanced(rollout)": "uses no gradients",
    "finer(finer(gradcam))": "finer twice; once is enough",
    "finer(finercam)": "finer twice",
    "finer(rest(finer(gradcam)))": "finer twice",
    "finer(smooth(finer(gradcam)))": "finer twice",
    "balanced(smooth(balanced(gradcam)))": "balanced twice",
    "rest(shapleycam)": "rest twice",
    "augment(gradcam, [flp])": "there is no transform 'flp'. Did you mean 'flip'",
    "augment(gradcam, [flip*x])": "there is no transform 'x'. There are identity, flip, flipud, rot90 and factors",
    "augment(gradcam, [-1])": "there is no transform '-1'",
    "augment(gradcam, [rot90*flip])": "rot90*flip turns or flips twice",
}


@pytest.mark.parametrize("text", MEANINGLESS)
def test_what_has_no_meaning_is_refused_before_any_work(text, shared_tiny_cnn):
    """Said by the whole call too, before the model has run once."""
    with pytest.raises(MethodError, match=re.escape(MEANINGLESS[text])):
        check(simplified(parse(text)))
    ran = []
    handle = shared_tiny_cnn.register_forward_pre_hook(lambda *_: ran.append(1))
    try:
        with pytest.raises(MethodError, match=re.escape(MEANINGLESS[text])):
            camscope.explain(shared_tiny_cnn, "no photo is even looked for", methods=["gradcam", text])
    finally:
        handle.remove()
    assert not ran


MEANINGFUL = [
    "smooth(smooth(gradcam))",
    "augment(smooth(gradcam))",
    "smooth(augment(gradcam), n=2)",
    "fuse(smooth(gradcam))",
    "smooth(fuse(gradcam))",
    "smooth(multiscale(hirescam))",
    "fuse(multiscale(hirescam))",
    "multiscale(finer(hirescam))",
    "multiscale(balanced(hirescam))",
    "finer(multiscale(hirescam))",
    "smooth(finer(gradcam), average=gradients)",
    "smooth(rise)",
    "smooth(eigencam)",
    "finer(scorecam)",
    "finer(rise)",
    "rest(finer(gradcam))",
    "finer(rest(gradcam))",
    "balanced(finer(rest(gradcam)))",
    "balanced(fullgrad)",
    "balanced(chefer)",
    "path(path(gradcam))",
    "path(ablationcam)",
    *NAMED,
]


@pytest.mark.parametrize("text", MEANINGFUL)
def test_what_has_meaning_is_not_refused(text):
    check(simplified(parse(text)))


def test_what_changes_the_target_is_pushed_to_the_method():
    assert simplified(parse("finer(smooth(gradcam), gamma=1)")) == parse("smooth(finer(gradcam, gamma=1))")
    assert simplified(parse("rest(fuse(smooth(gradcam)))")) == parse("fuse(smooth(rest(gradcam)))")
    assert simplified(parse("balanced(refinecam)")) == parse("fuse(balanced(gradcam++), product)")
    assert simplified(parse("finer(rest(smooth(gradcam)))")) == parse("smooth(finer(rest(gradcam)))")
    assert modifiers_of(parse("finer(rest(gradcam))")) == (
        parse("rest(gradcam)"),
        parse("finer(rest(gradcam))"),
    )
