"""Rules over names: what published sets use is found, what only looks alike is refused."""

import pytest

from jaxpr.core import InputError
from jaxpr.data.pairing import pair_names

SCENES = ("001", "002", "010", "park_1x4")


def names(template: str, scenes=SCENES) -> list[str]:
    return [template.format(scene) for scene in scenes]


@pytest.mark.parametrize(
    ("low", "high", "rule"),
    [
        ("{}.png", "{}.jpg", "{}:{}"),
        ("{}x4.png", "{}.png", "{}x4:{}"),  # DIV2K, Urban100
        ("X4/{}x4.png", "{}.png", "X4/{}x4:{}"),
        ("{}x4m.png", "{}.png", "{}x4m:{}"),
        ("{}x8d.png", "{}.png", "{}x8d:{}"),
        ("{}x16.png", "{}.png", "{}x16:{}"),
        ("img_{}_SRF_4_LR.png", "img_{}_SRF_4_HR.png", "{}_LR:{}_HR"),  # Set14
        ("img_{}_SRF_4.png", "img_{}.png", "{}_SRF_4:{}"),
        ("{}_LRBI_x3.png", "{}_HR_x3.png", "{}_LRBI_x3:{}_HR_x3"),
        ("Canon_{}_LR4.png", "Canon_{}_HR.png", "{}_LR4:{}_HR"),  # RealSR
        ("{}_LR.png", "{}.png", "{}_LR:{}"),
        ("{}.png", "{}_GT.png", "{}:{}_GT"),
        ("{}x4.png", "{}_HR.png", "{}x4:{}_HR"),
        ("{}-4x.png", "{}.bmp", "{}-4x:{}"),
        ("lr_{}.png", "hr_{}.png", "lr_{}:hr_{}"),
        ("{}_low.png", "{}_high.png", "{}_low:{}_high"),
        ("IMG {} lowres.png", "IMG {} highres.png", "{} lowres:{} highres"),
        ("{}_NOISY_SRGB_010.PNG", "{}_GT_SRGB_010.PNG", "{}_NOISY_{}:{}_GT_{}"),  # SIDD
        ("s/blur/{}.png", "s/sharp/{}.png", "{}/blur/{}:{}/sharp/{}"),  # GoPro
        ("{}/LR.png", "{}/HR.png", "{}/LR:{}/HR"),
        ("LR_x2/{}_LR_x2.png", "HR/{}.png", "LR_x2/{}_LR_x2:HR/{}"),
        ("s/lr_{}.png", "s/{}.png", "{}/lr_{}:{}/{}"),
    ],
)
def test_what_data_sets_add_to_names_is_found(low, high, rule):
    backwards = SCENES[::-1]
    found = pair_names(names(low), names(high, backwards))
    assert [SCENES[position] for position in found.order] == list(backwards)
    assert found.rule == rule
    assert pair_names(names(low), names(high, backwards), pattern=rule) == found  # users may type what is reported


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (["park_001.png", "road_001.png"], ["park_002.png", "road_002.png"]),
        (["park_1.png", "park_2.png"], ["park.png", "road.png"]),
        (["a_4.png", "b_4.png"], ["a.png", "b.png"]),  # a number without x
        (["a_2020.png", "b_2020.png"], ["a.png", "b.png"]),
        (["av2.png", "bv2.png"], ["av3.png", "bv3.png"]),
        (["park/1.png", "park/2.png"], ["road/1.png", "road/2.png"]),
        (["park/1.png", "park/2.png"], ["1.png", "2.png"]),
        (["a_x4.png", "b_x4.png"], ["a_x2.png", "b_x2.png"]),  # two scales
        (["a_x4_LR.png", "b_x4_LR.png"], ["a_x2_HR.png", "b_x2_HR.png"]),
        (["a_x4_SRF_2.png", "b_x4_SRF_2.png"], ["a.png", "b.png"]),
        (["ax4.png", "bx2.png"], ["a.png", "b.png"]),  # two rules
        (["ax4.png", "b_LR.png"], ["a.png", "b_HR.png"]),
        (["a_HR.png", "b_HR.png"], ["a_LR.png", "b_LR.png"]),  # the sides exchanged
        (["a_LR.png", "b_LR.png"], ["a_noisy.png", "b_noisy.png"]),
        (["a_LR_1.png", "b_LR_1.png"], ["a_HR_2.png", "b_HR_2.png"]),
        (["ax4.png", "bx4.png"], ["a.png"]),
        (["ax4.png"], ["a.png", "b.png"]),
        (["x4.png", "bx4.png"], ["a.png", "b.png"]),
    ],
)
def test_names_that_no_one_rule_pairs_are_refused(low, high):
    with pytest.raises(InputError, match=r"^(low|high): found .*, expected pairs by one rule for all") as caught:
        pair_names(low, high)
    message = str(caught.value)
    assert "\n" not in message
    assert low[0] in message
    assert high[0] in message
    assert "{}:{} (pairs " in message or "{}x4:{} (pairs 1)" in message
    assert "--pair-pattern" in message


def test_the_rule_that_goes_farthest_is_reported():
    low, high = names("{}x4.png", range(6)), names("{}.png", range(1, 7))
    with pytest.raises(
        InputError, match=r"low: found no partner in high for 0x4\.png, expected .* \{\}x4:\{\} \(pairs 5\)"
    ):
        pair_names(low, high)
    with pytest.raises(InputError, match=r"high: found no partner in low for 5\.png, 6\.png, 7\.png and 4 more"):
        pair_names(low[1:5], names("{}.png", range(1, 12)))


def test_two_files_of_one_name_are_refused():
    twins = ["a.png", "a.jpg"]
    with pytest.raises(InputError, match=r"low: found a\.png and a\.jpg, expected one file of a name"):
        pair_names(twins, ["a.png", "b.png"])
    with pytest.raises(InputError, match=r"high: found a\.png and a\.jpg, expected one file of a name"):
        pair_names(["ax4.png"], twins, pattern="{}x4:{}")
    assert pair_names(twins, twins[::-1]).order == (1, 0)  # the whole names are equal


def test_a_pattern_says_what_no_rule_guesses():
    low, high = names("shot_{}_b_4.png"), names("truth-{}.tif")
    with pytest.raises(InputError, match="--pair-pattern"):
        pair_names(low, high)
    for pattern in ("shot_{}_b_4:truth-{}", "shot_{}_b_4.png:truth-{}.tif"):
        assert pair_names(low, high, pattern=pattern).order == (0, 1, 2, 3)
    assert pair_names(["a.(x)+.png"], ["a.png"], pattern="{}.(x)+:{}").order == (0,)  # no regular expression


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{}x3:{}", r"found \{\}x3:\{\} \(low: found 001x4.png, 002x4.png, 010x4.png and 1 more unlike \{\}x3\)"),
        ("{}:{}", r"\(low: found no partner in high for 001x4.png, .* expected it to pair all files one to one"),
        ("{}1x4:{}", r"low: found 002x4.png, 010x4.png, .* unlike \{\}1x4"),
        ("x4:{}", "found x4:{}, expected LOW:HIGH"),
        ("{}x4", "found {}x4, expected LOW:HIGH"),
        ("{}:{}:{}", "expected LOW:HIGH"),
        ("{}_{}:{}", "expected LOW:HIGH"),
        ("", "found , expected LOW:HIGH"),
        ("\x1b:", r"found \\x1b:, expected LOW:HIGH"),
        (3, "found int, expected LOW:HIGH"),
    ],
)
def test_patterns_that_do_not_hold_are_refused(pattern, message):
    with pytest.raises(InputError, match=f"^pattern: .*{message}"):
        pair_names(names("{}x4.png"), names("{}.png"), pattern=pattern)
