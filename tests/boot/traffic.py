"""What a guest sent over its network card, read from a recording: pcap, Ethernet, IP (RFC 791, 8200), TCP, UDP."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator

_FILE_HEADER = 24
_RECORD_HEADER = struct.Struct("<IIII")  # seconds, microseconds, bytes kept, bytes on the wire
_ETHERTYPES = {0x0806: "ARP", 0x88CC: "LLDP"}
_IPV4, _IPV6 = 0x0800, 0x86DD
_PROTOCOLS = {1: "ICMP", 2: "IGMP", 58: "ICMPv6"}
_TCP, _UDP = 6, 17
_HOP_BY_HOP = 0  # comes before multicast listener reports
_FRAGMENT_OFFSET = 0x1FFF
_SSH, _DHCP = 22, {67, 68}


def frames(recording: bytes) -> Iterator[bytes]:
    """Ethernet frames of a pcap file that QEMU may still be writing.

    Raises:
        ValueError: it is no pcap file of this byte order.
    """
    if not recording.startswith(b"\xd4\xc3\xb2\xa1"):
        raise ValueError("not a little-endian pcap file")
    place = _FILE_HEADER
    while place + _RECORD_HEADER.size <= len(recording):
        kept = _RECORD_HEADER.unpack_from(recording, place)[2]
        place += _RECORD_HEADER.size
        if place + kept <= len(recording):
            yield recording[place : place + kept]
        place += kept


def sent(recording: bytes, mac: str) -> set[str]:
    """Kinds of what the card with this address sent: DHCP, SSH (as a server), ARP …, or protocol and destination.

    QEMU's e1000e cuts a long segment into IP fragments: the first one has the ports and tells for all.
    """
    source = bytes.fromhex(mac.replace(":", ""))
    own = (frame for frame in frames(recording) if frame[6:12] == source)
    return {_kind(frame) for frame in own if not _is_later_fragment(frame)}


def _is_later_fragment(frame: bytes) -> bool:
    is_ipv4 = int.from_bytes(frame[12:14], "big") == _IPV4
    return is_ipv4 and int.from_bytes(frame[20:22], "big") & _FRAGMENT_OFFSET != 0


def _kind(frame: bytes) -> str:
    ethertype = int.from_bytes(frame[12:14], "big")
    packet = frame[14:]
    if ethertype == _IPV4:
        return _transport(packet[9], packet[(packet[0] & 15) * 4 :], packet[16:20])
    if ethertype == _IPV6:
        follows, content = packet[6], packet[40:]
        if follows == _HOP_BY_HOP:
            follows, content = content[0], content[(content[1] + 1) * 8 :]
        return _transport(follows, content, packet[24:40])
    return _ETHERTYPES.get(ethertype, f"Ethernet type {ethertype:#06x}")


def _transport(protocol: int, content: bytes, destination: bytes) -> str:
    if protocol not in {_TCP, _UDP}:
        return _PROTOCOLS.get(protocol, f"IP protocol {protocol}")
    ports = struct.unpack_from(">HH", content)
    if protocol == _UDP and set(ports) == _DHCP:
        return "DHCP"
    if protocol == _TCP and ports[0] == _SSH:
        return "SSH"
    return f"{'TCP' if protocol == _TCP else 'UDP'} to {ipaddress.ip_address(destination)} port {ports[1]}"
