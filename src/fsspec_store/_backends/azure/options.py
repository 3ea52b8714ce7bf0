"""Rejects options of an adlfs filesystem that have no effect. No I/O."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from ...errors import StorageOptionError
from ..option_names import ADLFS
from ..options import refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fsspec import AbstractFileSystem

__all__ = ["check_names", "check_options"]

#: Options that adlfs passes to fsspec.
_FSSPEC_OPTIONS = {"batch_size", "listings_expiry_time", "max_paths", "use_listings_cache"}
#: Options that adlfs passes to ``azure.identity.DefaultAzureCredential``, which checks no names.
_IDENTITY_OPTIONS = (
    "additionally_allowed_tenants authority broker_client_id broker_tenant_id "
    "disable_instance_discovery exclude_broker_credential exclude_cli_credential "
    "exclude_developer_cli_credential exclude_environment_credential "
    "exclude_interactive_browser_credential exclude_managed_identity_credential "
    "exclude_powershell_credential exclude_shared_token_cache_credential "
    "exclude_visual_studio_code_credential exclude_workload_identity_credential identity_config "
    "interactive_browser_client_id interactive_browser_tenant_id logging_enable "
    "managed_identity_client_id process_timeout require_envvar shared_cache_tenant_id "
    "shared_cache_username subscription visual_studio_code_tenant_id workload_identity_client_id "
    "workload_identity_tenant_id"
)


def check_options(fs: AbstractFileSystem) -> None:
    """Reject options that adlfs ignores, or that have no effect.

    Raises
    ------
    StorageOptionError
        Names each of them.
    """
    if fs.location_mode not in ("primary", "secondary"):
        raise StorageOptionError(
            f"location_mode must be 'primary' or 'secondary', got {fs.location_mode!r}"
        )
    if fs.request_session is not None:
        raise StorageOptionError(
            "adlfs ignores request_session, and a session serves only one event loop"
        )
    check_names(type(fs), fs.kwargs)


def check_names(cls: type[AbstractFileSystem], given: Iterable[str]) -> None:
    """Reject options that adlfs ignores, by name.

    Raises
    ------
    StorageOptionError
        Names each of them.
    """
    known = _FSSPEC_OPTIONS.union(_IDENTITY_OPTIONS.split())
    if not known.issuperset(given):
        known |= set(inspect.signature(cls.__init__).parameters)
        refuse_unknown("adlfs takes no storage option", given, known, ADLFS)
