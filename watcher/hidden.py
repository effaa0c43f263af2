"""Which characters a reader cannot see, or sees in the wrong place."""

from __future__ import annotations

from typing import Final


def _hidden() -> list[int]:
    one_by_one = (0xAD, 0x61C, 0x6DD, 0x70F, 0x8E2, 0x180E, 0xFEFF, 0x110BD, 0x110CD, 0xE0001)
    runs = (
        (0x7F, 0x9F), (0x600, 0x605), (0x890, 0x891), (0x200B, 0x200F), (0x2028, 0x202E),
        (0x2060, 0x206F), (0xFFF9, 0xFFFB), (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3),
        (0x1D173, 0x1D17A), (0xE0020, 0xE007F),
    )  # fmt: skip
    return [*one_by_one, *(code for first, last in runs for code in range(first, last + 1))]


HIDDEN: Final = tuple(_hidden())
"""Code points above ASCII that move, hide or reorder text (Unicode Bidi_Control, Cf, Zl, Zp)."""
