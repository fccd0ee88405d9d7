"""Read JSON5 as people write it in settings files."""

from __future__ import annotations

import pytest

from lockgate.formats.shared.json5 import Json5Invalid, read_json5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": [1, 2.5, -3e2, true, null]}', {"a": [1, 2.5, -300.0, True, None]}),
        ("// c\n{/* {} */ a: 1, $b_2: 'x',}", {"a": 1, "$b_2": "x"}),
        (r"""{'it\'s': 'say "no" \n\\'}""", {"it's": 'say "no" \n\\'}),
        ('{"url": "http://x/*no*/"}', {"url": "http://x/*no*/"}),
        ("\ufeff[1,]", [1]),
    ],
)
def test_text_is_read(text: str, expected: object) -> None:
    """Comments, trailing commas, single quotes and bare keys are accepted."""
    assert read_json5(text) == expected


@pytest.mark.parametrize(
    ("text", "offset"), [("{a: 0x1F}", 5), ("{a: 'x}", 4), ("{a 1}", 3), ("", 0), ("[1 2]", 3)]
)
def test_what_is_not_read_is_refused_at_its_place(text: str, offset: int) -> None:
    """Invalid text is refused with its offset."""
    with pytest.raises(Json5Invalid) as caught:
        read_json5(text)
    assert caught.value.offset == offset
