"""Strings that firmware and tools print where they know nothing, such as `To Be Filled By O.E.M.`."""

from __future__ import annotations

import re

# Compared without case, spaces at the ends, and a full stop at the end.
_WORDS = frozenset(
    word.strip()
    for word in """
    none|null|nil|n/a|[n/a]|na|not applicable|unknown|<unknown>|unknow|undefined|undefine|unspecified|invalid
    empty|[empty]|not specified|not available|not provided|not present|not defined|not settable|not set
    not installed|no module installed|no dimm|memundefined|not support|no information|no asset tag
    no asset information|no serial number|no tag|no data|to be filled by o.e.m|to be filled by oem
    to be set by oem|filled by oem|default string|default
    o.e.m|oem|<out of spec>|<bad index>|oem default string000|empty string|string|xxx|tbd|tbd by oem
    type2 - board serial number|requested functionality has been deprecated|system manufacturer
    system product name|system version|system serial number|system name|system sku|sku|base board manufacturer
    base board product name|base board version|base board serial number|base board asset tag|board manufacturer
    board product name|board version|board serial number|board asset tag|chassis manufacture|chassis manufacturer
    chassis version|chassis serial number|chassis asset tag|serial number|part number|asset tag|asset-1234567890
    asset tag number|product name|manufacturer|version|family
    0123456789abcdef|fillbyoem|to be filled|unknown error|gpu requires reset|[unknown error]
    [not supported]|not supported|[gpu requires reset]|03000200-0400-0500-0006-000700080009
    12345678-1234-5678-90ab-cddeefaabbcc
    """.strip()
    .replace("\n", "|")
    .split("|")
)
# `01234567`, `0123456789`, `01234567890123456789AB`, `1234567890`.
_COUNTING = "0123456789" * 4
_MIN_COUNTING = 8
# One character over and over: `00000000`, `FFFF`, `----`, `........`, an all-zero UUID.
_FILLER = re.compile(r"(?:0[0-]{2,}|[fF][fF-]{3,}|[xX]{3,}|[-._*#?\s]+)", re.ASCII)
# AMI's templates: `A1_SerNum0`, `Array1_PartNumber0`, `PartNum3`, `ModulePartNumber00`, `AssetTagNum2`.
_TEMPLATE = re.compile(
    r"(?:[a-z]+[0-9]*_)*(?:dimm|array|a|p|cha|chb|proc|cpu|module)?[0-9]*_?"
    r"(?:manufacturer|sernum|serialnum|serialnumber|assettagnum|assettag|partnum|partnumber"
    r"|modulepartnumber)_?[0-9]{1,2}",
    re.ASCII,
)


def is_placeholder(text: str) -> bool:
    """Whether `text`, as firmware or a tool printed it, says nothing about the hardware."""
    bare = text.strip().rstrip(".").lower()[:200]
    if not bare or bare in _WORDS or text.strip().lower() in _WORDS:
        return True
    # `OEM Define 0`, `OEM Define 1`: the template of a power supply.
    if bare.rstrip("0123456789 ") == "oem define":
        return True
    if len(bare) >= _MIN_COUNTING and bare[0] in "01" and bare.removesuffix("ab") in _COUNTING:
        return True
    return _FILLER.fullmatch(bare) is not None or (len(bare) <= 64 and _TEMPLATE.fullmatch(bare) is not None)


def known(name: str, raw: object, notes: list[str]) -> str | None:
    """`raw` without padding, or None for a placeholder, whose raw string goes to `notes` as `name is '…'`.

    An empty string is None without a note: there is no string to keep.
    """
    if not isinstance(raw, str):
        return None
    text = raw.strip(" \t\r\n\0")
    if not text:
        return None
    if is_placeholder(text):
        notes.append(f"{name} is {text!r}")
        return None
    return text
