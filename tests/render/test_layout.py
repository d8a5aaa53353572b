import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from camscope.errors import InputError
from camscope.render.layout import Grid, natural_size
from camscope.render.panel import Panel, grid_of

SIDES = st.integers(1, 5000)


@given(SIDES, SIDES)
def test_a_photo_keeps_its_aspect_and_one_area_unless_extreme(width, height):
    shown = natural_size(width, height, 2.0)
    assert shown[0] / shown[1] == pytest.approx(width / height)
    assert max(shown) <= 4.0 + 1e-9
    if 0.25 <= width / height <= 4:
        assert shown[0] * shown[1] == pytest.approx(4.0)


@given(st.lists(st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=4), min_size=1, max_size=4))
def test_photos_stay_in_their_cells_and_columns_do_not_overlap(shapes):
    grid = Grid.around(shapes, 2.0, 0.1, 0.5)
    for row, row_shapes in enumerate(shapes):
        for column, shape in enumerate(row_shapes):
            cell = grid.photo(row, column, shape)
            assert cell.width / cell.height == pytest.approx(shape[0] / shape[1])
            assert cell.left >= grid.left(column) - 1e-9
            assert cell.left + cell.width <= grid.left(column) + grid.widths[column] + 1e-9
            assert cell.bottom <= grid.heights[row] + 1e-9
    assert grid.left(len(grid.widths) - 1) + grid.widths[-1] == pytest.approx(grid.width)


def test_photos_side_by_side_get_one_height():
    shapes = [(300, 200), (200, 200), (200, 300)]
    grid = Grid.around([shapes], 2.0, 0.1, 0.5)
    heights = {round(grid.photo(0, column, shape).height, 6) for column, shape in enumerate(shapes)}
    assert len(heights) == 1


@given(st.integers(1, 200))
def test_a_flat_list_keeps_its_order_and_fills_every_row_but_the_last(count):
    photo = Image.new("RGB", (1, 1))
    panels = [Panel(image=photo, heatmap=None, title=str(number)) for number in range(count)]
    rows = grid_of(panels)
    assert [panel for row in rows for panel in row] == panels
    assert len({len(row) for row in rows[:-1]}) <= 1
    assert len(rows[-1]) <= len(rows[0]) <= 10


@pytest.mark.parametrize(
    ("count", "rows"), [(1, [1]), (4, [4]), (6, [3, 3]), (16, [4] * 4), (19, [5, 5, 5, 4]), (20, [5] * 4)]
)
def test_common_counts(count, rows):
    assert [len(row) for row in grid_of([None] * count)] == rows


def test_columns_can_be_chosen():
    assert [len(row) for row in grid_of([None] * 7, columns=3)] == [3, 3, 1]
    with pytest.raises(InputError, match="columns must be at least 1"):
        grid_of([None], columns=0)
    with pytest.raises(InputError, match="at least one panel"):
        grid_of([])
