"""The part of docs/policy.md that is made from the policy's own file.

`python -m tests.busnode.policy_page` writes it anew; a test holds the page to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from busnode import policy

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).resolve().parents[2] / "docs/policy.md"
BEGIN = "<!-- made from busnode/policies/bus-host.toml by python -m tests.busnode.policy_page -->"
END = "<!-- end of what is made -->"

_WHEN = {
    "disable_password_auth": "unless `ssh_policy.disable_password_auth` is false",
    "allow_root_login": "where `ssh_policy.allow_root_login` is true",
    "not allow_root_login": "unless `ssh_policy.allow_root_login` is true",
    "allow_established": "unless `firewall_policy.allow_established` is false",
    "allowed_ports": "",
    "default_deny_inbound": "unless `firewall_policy.default_deny_inbound` is false",
}


def made(document: dict[str, Any]) -> str:
    """Settings, rules, sources and changelog as Markdown."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: dict[str, Any]) -> Iterator[str]:
    yield f"## Policy {document['name']}, version {document['version']}"
    yield f"\n{document['about']}\n"
    yield "### sshd\n"
    yield (
        "Those with a star are repeated for every log-in, so that no Match block of another file loosens them. Where a "
        "stricter value or a list of the node's own is possible, nothing is repeated, and the stricter one stays.\n"
    )
    yield "| keyword | value | why | source |\n|---|---|---|---|"
    for item in document["ssh"]:
        star = " *" if item.get("everyone") else ""
        yield f"| {item['keyword']}{star} | {_value(item)} | {_why(item)} | {', '.join(item['sources'])} |"
    yield "\n### Firewall\n"
    yield "Table `inet busnode`, chain `input`, in this order, for IPv4 and IPv6.\n"
    yield "| rule | packets | verdict | why | source |\n|---|---|---|---|---|"
    for item in document["firewall"]:
        packets = f"`{item['match']}`" if item["match"] else "all others"
        sources = ", ".join(item["sources"])
        yield f"| {item['name']} | {packets} | {item['verdict']} | {_why(item)} | {sources} |"
    yield "\n### Sources\n"
    yield from (f"- {name}: {what}" for name, what in document["sources"].items())
    yield "\n### Changelog\n"
    for entry in document["changelog"]:
        yield f"- Version {entry['version']}, {entry['date']}"
        yield from (f"    - {change}" for change in entry["changes"])


def _value(item: dict[str, Any]) -> str:
    if "algorithms" in item:
        return " ".join(f"`{name}`" for name in item["algorithms"])
    return f"each of `{item['for_each']}`" if "for_each" in item else f"`{item['value']}`"


def _why(item: dict[str, Any]) -> str:
    condition = _WHEN[item["when"]] if "when" in item else ""
    return f"{item['reason']} ({condition})" if condition else str(item["reason"])


def parts(page: str) -> tuple[str, str, str]:
    """The page before, in and after what is made."""
    before, _, rest = page.partition(BEGIN + "\n")
    inside, _, after = rest.partition(END + "\n")
    return before, inside, after


def main() -> None:
    """Write the page anew."""
    before, _, after = parts(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(f"{before}{BEGIN}\n{made(policy.load().document)}{END}\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
