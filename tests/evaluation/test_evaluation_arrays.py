"""What is stored of each example goes to a file and comes back, by fields and names."""

import numpy as np

from jaxpr.evaluation.arrays import (
    ProbeArrays,
    ReferenceArrays,
    RestorerArrays,
    read_arrays,
    stored,
    without_pictures,
)
from jaxpr.evaluation.state import BatchStore

RANDOM = np.random.default_rng(0)


def drawn(*shape):
    return RANDOM.normal(size=(4, *shape)).astype(np.float32)


BATCHES = {
    "reference": ReferenceArrays(
        drawn(3, 2), drawn(3, 2), drawn(5, 4), drawn(5, 9), None, drawn(6, 36), {"x": drawn(8, 8, 3)}
    ),
    "restorer": RestorerArrays({"psnr": drawn(), "a/b": drawn()}, drawn(), drawn(3, 2), drawn(5, 4), drawn(3, 10)),
    "probes": ProbeArrays(drawn(), {"local_lipschitz": drawn()}, {"ratio": drawn(6)}, drawn(), drawn()),
    "few": ProbeArrays(drawn()),
}


def test_values_go_to_files_and_come_back(tmp_path):
    for name, batch in BATCHES.items():
        store = BatchStore(tmp_path, name)
        flat = stored(batch)
        store.save([0, 1], {part: array[:2] for part, array in flat.items()})
        store.save([2, 3], {part: array[2:] for part, array in flat.items()})
        found = list(read_arrays(type(batch), store, 4))
        assert len(found) == 4
        for field, value in batch._asdict().items():
            for number, at in enumerate(found):
                again = getattr(at, field)
                if isinstance(value, dict):
                    assert again.keys() == value.keys()
                    for part, array in value.items():
                        np.testing.assert_array_equal(again[part], array[number])
                elif value is None:
                    assert again is None
                else:
                    np.testing.assert_array_equal(again, value[number])


def test_pictures_are_left_out_and_nothing_else():
    flat = stored(BATCHES["reference"])
    assert set(flat) - set(without_pictures(flat)) == {"pictures/x"}
