"""What is carried of errors from stage to stage."""

import numpy as np

from coremerge_ref.perturbation import carried


def test_a_spectrum_is_noted_with_its_cut_and_its_task() -> None:
    class Stage:
        name = "tsv"

    level = carried.Level("compute", "float64", 2.0**-52, 1.0)
    zeros = np.zeros(2)
    errors = carried.Errors(level, (3, 3), zeros, np.zeros((2, 3, 3)), zeros, (0, 4), False, {}, level.eps)
    errors.spectrum(Stage, "singular values of M_t", [3, 1], kept=1, cut=0.5, task=1)
    errors.spectrum(Stage, "singular values", [2.0], kept=1)
    of_task, of_all = errors.spectra
    assert of_task.title == "tsv: task 4: singular values of M_t"
    assert of_all.title == "tsv: singular values"
    assert (of_task.kept, of_task.cut, of_task.task) == (1, 0.5, 4)
    assert (of_all.kept, of_all.cut, of_all.task) == (1, None, None)
    assert of_task.values.dtype == np.float64
    assert of_task.values.tolist() == [3.0, 1.0]
