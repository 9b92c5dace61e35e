"""Where networks lie in files of trainers: dictionaries, prefixes, what is beside them, and what cannot be decided."""

import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.models.naming import abstract_parameters, torch_shapes
from jaxpr.models.restormer import RestormerConfig, restormer
from jaxpr.models.rrdbnet import RRDBNetConfig, rrdbnet
from jaxpr.weights.layouts import Place, choose_place, left_out, taken_names
from jaxpr.weights.networks import is_network, load_network
from jaxpr.weights.torch_files import read_checkpoint, write_checkpoint

CONFIG = RRDBNetConfig(num_feat=4, num_block=1, num_grow_ch=2)
NET = torch_shapes(abstract_parameters(rrdbnet(CONFIG)))
OTHER = torch_shapes(
    abstract_parameters(
        restormer(RestormerConfig(dim=4, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1, heads=(1, 1, 1, 1)))
    )
)
CRITIC = {f"features.{i}.weight": (8, 8, 3, 3) for i in range(60)}
ADAM = {f"optimizer.state.{i}": {"step": (), "exp_avg": (4, 3, 3, 3), "exp_avg_sq": (4, 3, 3, 3)} for i in range(50)}


def behind(prefix, shapes=NET):
    return {prefix + name: shape for name, shape in shapes.items()}


def chosen(groups, wanted=None):
    return choose_place(groups, (is_network,), wanted=wanted, source="F")


@pytest.mark.parametrize(
    ("groups", "place"),
    [
        ({"": NET}, ("", "")),
        ({"": {"best_psnr": ()}, "state_dict": NET}, ("state_dict", "")),
        ({"": {"mean": (1, 3, 1, 1), "std": (3,)}, "state_dict": NET}, ("state_dict", "")),
        ({"": {**behind("module."), "n_averaged": ()}}, ("", "module.")),
        ({"": NET | {"num_updates": (), "decay": ()}}, ("", "")),
        ({"state_dict": behind("model.")}, ("state_dict", "model.")),
        ({"state_dict": behind("net_g.") | behind("net_d.", CRITIC)}, ("state_dict", "net_g.")),
        ({"state_dict": behind("generator.") | behind("loss.vgg.", CRITIC)}, ("state_dict", "generator.")),
        ({"state_dict": behind("whatever_name.")}, ("state_dict", "whatever_name.")),
        ({"": behind("module.model.")}, ("", "module.model.")),
        ({"": behind("_orig_mod.module.netG.")}, ("", "_orig_mod.module.netG.")),
        ({"model.ema.generator": behind("module."), **ADAM}, ("model.ema.generator", "module.")),
        ({"generator": NET, "discriminator": CRITIC, "g_optim.state.0": ADAM["optimizer.state.0"]}, ("generator", "")),
        ({"zz": NET, "params_ema": CRITIC}, ("zz", "")),  # what fits goes before what is named well
        ({"params": NET, "params_ema": NET}, ("params_ema", "")),
        ({"params": NET, "params_ema": behind("module.")}, ("params_ema", "module.")),
        ({"": NET, "ema": NET}, ("", "")),
        # Networks that are not known: by the names of their dictionaries.
        ({"": {"best": ()}, "state_dict": behind("module.", CRITIC), **ADAM}, ("state_dict", "module.")),
        ({"": {"module.w": (2,), "b": (2,)}}, ("", "")),
    ],
)
def test_the_place_of_a_network(groups, place):
    found = chosen(groups)
    assert found == Place(*place)
    assert chosen(groups, found.key) == found  # by its name, too


@pytest.mark.parametrize(
    ("groups", "listed"),
    [
        ({"a": NET, "b": NET}, "a with 42, b with 42"),
        ({"student": NET, "teacher": OTHER}, f"student with 42, teacher with {len(OTHER)}"),
        (
            {"state_dict": behind("net_g.") | behind("net_g_ema.")},
            "state_dict.net_g with 42, state_dict.net_g_ema with 42",
        ),
        ({"ema.one": NET, "ema.two": NET}, "ema.one with 42, ema.two with 42"),
        ({"x\x1b[2J": NET, "y": NET}, r"x\\x1b\[2J with 42, y with 42"),
    ],
)
def test_several_places_are_named(groups, listed):
    with pytest.raises(InputError, match=rf"^F: found several dictionaries of tensors that fit \({listed}\)") as caught:
        chosen(groups)
    assert str(caught.value).isprintable()


def test_one_of_several_is_chosen_by_its_name():
    groups = {"state_dict": behind("net_g.") | behind("net_g_ema."), "b": behind("module.model.")}
    assert chosen(groups, "state_dict.net_g_ema") == Place("state_dict", "net_g_ema.")
    assert chosen(groups, "b") == Place("b", "module.model.")
    assert chosen(groups, "b.module") == Place("b", "module.model.")
    for wrong in ("c", "state_dict.net", "b.module.model.conv", ""):
        with pytest.raises(InputError, match=rf"^dictionary: found '{wrong}', expected one of those with tensors in F"):
            chosen(groups, wrong)


def test_what_is_taken_and_what_is_left_out():
    shapes = {"module.w": (2,), "module.step": (), "n_averaged": (), "head.w": (3,)}
    assert taken_names(shapes, "module.") == {"module.w": "w"}
    assert left_out(shapes, "module.") == ("module.step", "n_averaged", "head.w")
    assert taken_names({"step": (2,), "scale": ()}, "") == {"step": "step", "scale": "scale"}


def ones(shapes):
    return {name: np.ones(shape, np.float32) for name, shape in shapes.items()}


def test_safetensors_with_prefixes(tmp_path):
    path = tmp_path / "a#b.safetensors"  # a file that is called so
    both = behind("net_g.") | behind("ema.module.")
    write_checkpoint(path, ones(both), {})
    with pytest.raises(InputError, match=r"as in #ema\.module, to name one"):
        load_network(path)
    for key, prefix in (("net_g", "net_g."), ("ema", "ema.module.")):
        for arguments in (((f"{path}#{key}",), {}), ((path,), {"dictionary": key})):
            found = read_checkpoint(*arguments[0], **arguments[1], fits=(is_network,))
            assert (found.path, found.prefix, set(found.tensors)) == (path, prefix, set(NET))
            assert set(found.left_out) == set(both) - set(behind(prefix))
    assert load_network(f"{path}#ema").config == CONFIG
    with pytest.raises(InputError, match=r"cannot open .*none.safetensors \(No such file"):
        load_network(tmp_path / "none.safetensors#params")


@pytest.mark.torch
def test_what_trainers_save(tmp_path):
    torch = pytest.importorskip("torch")
    path, tensors = tmp_path / "a.pth", {name: torch.from_numpy(a) for name, a in ones(NET).items()}
    last = {f"module.{name}": 0.5 * tensor for name, tensor in tensors.items()}
    adam = {"state": {i: {"step": torch.tensor(3.0), "exp_avg": t} for i, t in enumerate(tensors.values())}}
    sparse = torch.zeros(3, 3).to_sparse()
    looped = {"w": torch.ones(2)}
    looped["itself"] = looped
    for content, dictionary, prefix in (
        ({"state_dict": last, "best_psnr": torch.tensor(31.2), "optimizer": adam}, "state_dict", "module."),
        ({"state_dict": last, "best_psnr": np.float64(31.2), "losses": np.ones(9)}, "state_dict", "module."),
        ({**last, "n_averaged": torch.tensor(7)}, "", "module."),
        (
            {"gen": {"model": last}, "epoch": 3, "sizes": [torch.ones(1)], "beside": {"s": sparse}},
            "gen.model",
            "module.",
        ),
        ({"params": tensors, "params_ema": tensors}, "params_ema", ""),
        ({"net": tensors, "loop": looped}, "net", ""),
    ):
        torch.save(content, path)
        found = read_checkpoint(path, fits=(is_network,))
        assert (found.dictionary, found.prefix) == (dictionary, prefix)
        assert set(found.tensors) == set(NET)


@pytest.mark.torch
def test_tensors_without_numbers_of_their_own_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.ones(1).expand(10**9)}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="found tensors of 4000000000 bytes in a file of"):
        read_checkpoint(tmp_path / "a.pth")
