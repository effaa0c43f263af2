"""What the firmware and shim say: the EFI variables behind Secure Boot (efivarfs)."""

from __future__ import annotations

from typing import Final, NamedTuple

from watcher.posture.tree import Tree

_VARIABLES: Final = "sys/firmware/efi/efivars"
_GLOBAL: Final = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
_SHIM: Final = "605dab50-e046-4300-abb6-3dd810dd8b23"
_RUNTIME_ACCESS: Final = 0x4
"""EFI_VARIABLE_RUNTIME_ACCESS (UEFI 2.10, 8.2): only boot-time MokSBState is shim's own."""

_ATTRIBUTES: Final = 4
"""Bytes of attributes that efivarfs puts before a variable's data, little-endian."""


class Firmware(NamedTuple):
    """UEFI or not, Secure Boot, setup mode, and whether shim validates; None: not seen.

    `shim_validation` is None as well where no shim says anything.
    """

    uefi: bool | None = None
    secure_boot: bool | None = None
    setup_mode: bool | None = None
    shim_validation: bool | None = None

    @property
    def enforces(self) -> bool | None:
        """Tell what the kernel makes of it: on, no setup mode, shim not told to let go.

        drivers/firmware/efi/libstub/secureboot.c: a missing SecureBoot counts as off.
        """
        if self.setup_mode or self.shim_validation is False:
            return False
        return self.secure_boot


def inspect_firmware(tree: Tree) -> Firmware:
    """Read the variables; writes nothing."""
    firmware = tree.names("sys/firmware")
    if firmware and "efi" not in firmware:
        return Firmware(uefi=False, secure_boot=False)
    if not firmware:
        tree.miss("Secure Boot", "sys/firmware", "empty or hidden, as in a container")
        return Firmware()
    names = tree.names(_VARIABLES)
    if not names:
        tree.miss("Secure Boot", _VARIABLES, "efivarfs is not mounted, or may not be read")
        return Firmware(uefi=True)
    return Firmware(
        uefi=True,
        secure_boot=_secure_boot(tree, names),
        setup_mode=_flag(tree, f"SetupMode-{_GLOBAL}", names),
        shim_validation=_validation(tree, names),
    )


def _secure_boot(tree: Tree, names: list[str]) -> bool | None:
    name = f"SecureBoot-{_GLOBAL}"
    return _flag(tree, name, names) if name in names else False


def _validation(tree: Tree, names: list[str]) -> bool | None:
    """Tell whether shim checks signatures: since 2022 the kernel reads MokSBStateRT (5f56a74cc0a6).

    The older MokSBState counts only without runtime access, or an operating system could set it.
    """
    if f"MokSBStateRT-{_SHIM}" in names:
        off = _flag(tree, f"MokSBStateRT-{_SHIM}", names)
        return None if off is None else not off
    raw = tree.data(f"{_VARIABLES}/MokSBState-{_SHIM}")
    if raw and len(raw) == _ATTRIBUTES + 1 and not raw[0] & _RUNTIME_ACCESS:
        return raw[_ATTRIBUTES] != 1
    # shim that validates leaves no MokSBStateRT but other variables of its own.
    return True if any(_SHIM in name for name in names) else None


def _flag(tree: Tree, name: str, names: list[str]) -> bool | None:
    """Give a variable of one byte; another size is no flag (as systemd reads it)."""
    if name not in names:
        return None
    raw = tree.data(f"{_VARIABLES}/{name}", name.partition("-")[0])
    return raw[_ATTRIBUTES] == 1 if raw and len(raw) == _ATTRIBUTES + 1 else None
