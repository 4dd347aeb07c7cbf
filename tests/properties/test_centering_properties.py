"""Regions and centers are what an independent way of finding them gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from glimt.kernels.centering import find_center_2d
from glimt.kernels.centering_3d import find_centers_3d
from glimt.kernels.centering_grid import ScanGrid
from glimt.kernels.centering_regions import connected_regions
from glimt.kernels.centering_wells import Wells

ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy, which finds regions independently, is not installed")


def _labels(chosen: Any) -> tuple[Any, int]:
    labels, n_regions = ndimage.label(chosen, structure=np.ones((3,) * chosen.ndim))
    return labels, n_regions


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=1, max_dims=3, max_side=9)))
def test_regions_are_those_of_scipy(chosen: Any) -> None:
    labels, n_regions = _labels(chosen)
    regions = connected_regions(chosen)
    assert len(regions) == n_regions
    for region in regions:
        assert np.array_equal(np.nonzero(labels == labels[tuple(index[0] for index in region)]), region)
    first = [tuple(index[0] for index in region) for region in regions]
    assert first == sorted(first)


@st.composite
def scans(draw: st.DrawFn) -> tuple[ScanGrid, Any]:
    steps = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    grid = ScanGrid(steps, draw(st.booleans()), draw(st.sampled_from(["horizontal", "vertical"])), (2.0, 3.0))
    counts = draw(hnp.arrays(np.int64, grid.n_images, elements=st.sampled_from([0, 0, 1, 4, 5, 9, 10])))
    return grid, counts


@given(scans())
def test_center_is_that_of_the_largest_region_of_scipy(scan: tuple[ScanGrid, Any]) -> None:
    grid, counts = scan
    center = find_center_2d(counts, grid)
    assert center.is_found == bool(counts.any())
    if not center.is_found:
        return
    by_row = grid.arrange(counts).T
    labels, n_regions = _labels(by_row >= counts.max() / 2)
    sizes = [np.count_nonzero(labels == number) for number in range(1, n_regions + 1)]
    best = 1 + sizes.index(max(sizes))
    y, x = ndimage.center_of_mass(labels == best)
    assert center.center_of_mass == pytest.approx((x + 0.5, y + 0.5))
    assert center.max_voxel == ndimage.maximum_position(by_row, labels, best)[::-1]
    assert center.n_voxels == max(sizes)
    assert center.total_count == by_row[labels == best].sum()
    assert center.best_image is not None
    assert counts[center.best_image - 1] == counts.max() == center.max_count


@given(scans(), st.booleans())
def test_order_of_the_images_does_not_matter(scan: tuple[ScanGrid, Any], snaked: bool) -> None:
    grid, counts = scan
    by_box = grid.arrange(counts)
    lines = by_box.T if snaked else by_box
    other = ScanGrid(grid.steps, False, "horizontal" if snaked else "vertical", (2.0, 3.0))
    again, center = find_center_2d(lines.ravel(), other), find_center_2d(counts, grid)
    assert again.best_region == center.best_region
    assert again.center_px == center.center_px


@given(st.integers(1, 6), st.data(), st.booleans())
def test_centers_in_space_are_those_of_scipy(n_x: int, data: st.DataObject, each: bool) -> None:
    elements = st.sampled_from([0, 0, 0, 1, 2, 5, 20, 100])
    xy = data.draw(hnp.arrays(np.int64, (n_x, data.draw(st.integers(1, 5))), elements=elements))
    xz = data.draw(hnp.arrays(np.int64, (n_x, data.draw(st.integers(1, 5))), elements=elements))
    threshold = data.draw(st.sampled_from([0.05, 0.25, 1.0]))
    wells = Wells(((0.0, n_x / 2), (n_x / 2, float(n_x))), {1: 1, 2: 2}) if each else None
    found = find_centers_3d(xy, xz, threshold=threshold, threshold_absolute=2, wells=wells)
    volume = np.einsum("xy,xz->xyz", np.where(xy < 2, 0, xy), np.where(xz < 2, 0, xz))
    parents, n_parents = _labels(volume > 0) if each else (np.ones(volume.shape, int), int(volume.any()))
    expected = []
    for parent in range(1, n_parents + 1):
        inside = np.where(parents == parent, volume, 0)
        labels, n_regions = _labels((inside > 0) & (inside >= threshold * inside.max()))
        for number in range(1, n_regions + 1):
            (box,) = ndimage.find_objects((labels == number).astype(int))
            expected.append(
                (
                    float(inside[labels == number].sum()),
                    int(np.count_nonzero(labels == number)),
                    ndimage.maximum_position(inside, labels, number),
                    (tuple(part.start for part in box), tuple(part.stop for part in box)),
                    tuple(np.add(ndimage.center_of_mass(inside, labels, number), 0.5).round(9)),
                )
            )
    told = [
        (c.total_count, c.n_voxels, c.max_voxel, c.bounding_box, tuple(np.round(c.center_of_mass, 9))) for c in found
    ]
    assert sorted(told) == sorted(expected)
    assert [c.total_count for c in found] == sorted((c.total_count for c in found), reverse=True)
    assert all(c.sample_id == (wells.sample_at(c.center_of_mass[0]) if wells else None) for c in found)
