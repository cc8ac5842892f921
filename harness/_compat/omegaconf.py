"""OmegaConf: seen on omegaconf 2.3."""

from __future__ import annotations

from typing import Any

from omegaconf import StringNode


class TextNode(StringNode):
    """A string. A number, a boolean or null that is put into it stays what it is, so that it can be refused, or give
    way to what was typed (`override_text`); what an interpolation takes from elsewhere becomes text.

    Uses `ValueNode._set_value`, `_val` and `_deepcopy_impl`, seen on omegaconf 2.3. Without them, OmegaConf turns
    `name=1e5` into the text "100000.0" before it can be mended.
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
