"""The Linux console as a picture: its font, a screen of 80 x 25 cells that scrolls, the 16 colours.

Without a program that loads another (the live CD has none) the font is the one in the graphics card's ROM, and the
kernel's own on a frame buffer, which has the same shapes; both hold code page 437, which is also how the kernel finds a
character's glyph in them (drivers/tty/vt/cp437.uni). Control sequences: console_codes(4).
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

COLUMNS, ROWS = 80, 25
WIDTH, HEIGHT = 8, 16
# In seabios, the firmware of QEMU's machines.
ROM = Path("/usr/share/seabios/vgabios-stdvga.bin")
# The kernel's default palette (drivers/tty/vt/vt.c), by the number of the SGR colour; from 8 on the bright ones.
PALETTE = tuple(
    bytes.fromhex(colour)
    for colour in (
        *("000000", "aa0000", "00aa00", "aa5500", "0000aa", "aa00aa", "00aaaa", "aaaaaa"),
        *("555555", "ff5555", "55ff55", "ffff55", "5555ff", "ff55ff", "55ffff", "ffffff"),
    )
)
_TOKEN = re.compile(r"\x1b\[([0-9;]*)m|(.)", re.DOTALL)
_PLAIN = (7, 0, False)


@dataclass(frozen=True, slots=True)
class Font:
    """256 glyphs of 8 x 16 pixels, a byte a row, the leftmost pixel its highest bit, in the order of code page 437."""

    glyphs: bytes

    def glyph(self, character: str) -> bytes:
        """Raises UnicodeEncodeError: the font has no such character, and the console would show a replacement."""
        at = character.encode("cp437")[0] * HEIGHT
        return self.glyphs[at : at + HEIGHT]


def rom_font(rom: bytes) -> Font:
    """The font of 16 rows in a VGA BIOS, found by its letter A."""
    letter = bytes.fromhex("000010386cc6c6fec6c6c6c600000000")
    begin = rom.index(letter) - ord("A") * HEIGHT
    return Font(rom[begin : begin + 256 * HEIGHT])


def read_code(picture: bytes) -> str:
    """The text of the QR code in a picture, as zbarimg(1) reads it; empty when it finds none."""
    command = ["zbarimg", "--quiet", "--raw", "--oneshot", "-Sdisable", "-Sqrcode.enable", "-"]
    done = subprocess.run(command, input=picture, capture_output=True, timeout=60, check=False)
    return done.stdout.decode().rstrip("\n")


class Screen:
    """What a console of 80 x 25 cells shows of what was written to it."""

    def __init__(self) -> None:
        self._cells = [[(" ", 7, 0)] * COLUMNS for _ in range(ROWS)]
        self._row = self._column = 0
        self._colours = _PLAIN

    @property
    def text(self) -> list[str]:
        """The rows, trailing spaces taken off."""
        return ["".join(character for character, _, _ in row).rstrip() for row in self._cells]

    def write(self, text: str) -> None:
        """As a terminal whose newlines only move down, which is why the live CD writes CR LF."""
        for match in _TOKEN.finditer(text):
            sequence, character = match.groups()
            if sequence is not None:
                self._select(sequence)
            elif character == "\r":
                self._column = 0
            elif character == "\n":
                self._down()
            else:
                self._put(character)

    def picture(self, drawn_in: Font) -> bytes:
        """The screen as a PPM (netpbm's P6)."""
        lines = []
        for row in self._cells:
            glyphs = [(drawn_in.glyph(character), PALETTE[ink], PALETTE[paper]) for character, ink, paper in row]
            for y in range(HEIGHT):
                pixels = (ink if glyph[y] >> x & 1 else paper for glyph, ink, paper in glyphs for x in range(7, -1, -1))
                lines.append(b"".join(pixels))
        return b"P6 %d %d 255\n" % (COLUMNS * WIDTH, ROWS * HEIGHT) + b"".join(lines)

    def _put(self, character: str) -> None:
        if self._column == COLUMNS:
            self._column = 0
            self._down()
        ink, paper, bold = self._colours
        self._cells[self._row][self._column] = (character, ink + 8 if bold and ink < 8 else ink, paper)
        self._column += 1

    def _down(self) -> None:
        if self._row < ROWS - 1:
            self._row += 1
        else:
            self._cells = [*self._cells[1:], [(" ", 7, 0)] * COLUMNS]

    def _select(self, sequence: str) -> None:
        ink, paper, bold = self._colours
        for code in (int(word or "0") for word in sequence.split(";")):
            if code == 0:
                ink, paper, bold = _PLAIN
            elif code == 1:
                bold = True
            elif 30 <= code <= 37:
                ink = code - 30
            elif 40 <= code <= 47:
                paper = code - 40
            else:
                raise ValueError(f"the screen does not know SGR {code}")
        self._colours = (ink, paper, bold)
