"""OmegaConf: seen on omegaconf 2.3."""

from __future__ import annotations

from typing import Any

from omegaconf import StringNode


class TextNode(StringNode):
    """A string node that keeps numbers, booleans and null as they are.

    They can then be refused, or replaced by the text that was typed (`override_text`). The value of an interpolation
    still becomes text.

    Uses `ValueNode._set_value`, `_val` and `_deepcopy_impl`, seen on omegaconf 2.3. Without them, OmegaConf turns
    `name=1e5` into the text "100000.0" before that can be corrected.
    """

    def _set_value(self, value: Any, flags: dict[str, bool] | None = None) -> None:
        if value is None or isinstance(value, (bool, int, float)):
            self.__dict__["_val"] = value
        else:
            super()._set_value(value, flags)

    def __deepcopy__(self, memo: dict[int, Any]) -> TextNode:
        copied = TextNode()
        self._deepcopy_impl(copied, memo)
        return copied
