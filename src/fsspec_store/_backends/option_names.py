"""Option names of other libraries, and the option to write instead, for each filesystem library.

Names are compared without case, ``_`` and ``-``.
"""

from __future__ import annotations

__all__ = ["ADLFS", "AIOHTTP", "BY_MODULE", "GCSFS", "OF_THE_STORE", "S3FS", "WEBDAV4", "squashed"]


def squashed(name: str) -> str:
    """The form in which names are compared: ``endpointUrl`` is ``endpoint_url``."""
    return name.lower().replace("_", "").replace("-", "")


def _table(*rows: tuple[str, str]) -> dict[str, str]:
    return {squashed(name): meant for names, meant in rows for name in names.split()}


#: Parameters of a store, which are not storage options.
OF_THE_STORE = _table(
    ("read_only readonly", "the store parameter read_only=..."),
    ("timeout connect_timeout read_timeout", "the store parameter timeout=..."),
    ("retries max_retries max_attempts retry_config", "the store parameter retries=..."),
    ("missing_on_forbidden", "the store parameter missing_on_forbidden=..."),
    ("max_concurrency concurrency", "the store parameter max_concurrency=..."),
    ("out_of_range", "the store parameter out_of_range=..."),
    ("allow_racy_create", "the store parameter allow_racy_create=..."),
    ("transport fast", "the store parameter transport=..."),
    (
        "large_value_bytes multipart_threshold",
        "the store parameter large_value_bytes=...",
    ),
    (
        "part_bytes part_size multipart_chunksize chunk_size",
        "the store parameter part_bytes=...",
    ),
)

#: Names in obstore, boto3, Polars and rclone.
S3FS = _table(
    (
        "access_key access_key_id accesskey access_id aws_access_key aws_access_key_id "
        "s3_access_key user username",
        "'key'",
    ),
    (
        "secret_key secret_access_key aws_secret_access_key aws_secret_key aws_secret "
        "s3_secret_key password",
        "'secret'",
    ),
    ("session_token security_token aws_session_token aws_security_token aws_token", "'token'"),
    (
        "endpoint endpoint_override aws_endpoint aws_endpoint_url aws_endpoint_url_s3 "
        "s3_endpoint host url base_url",
        "'endpoint_url'",
    ),
    (
        "region region_name aws_region aws_default_region default_region location",
        "client_kwargs={'region_name': ...}",
    ),
    (
        "verify verify_ssl ssl_verify verify_certificate ca_bundle ca_certs aws_ca_bundle cert",
        "client_kwargs={'verify': ...}",
    ),
    ("allow_http http insecure secure", "'endpoint_url' with http:// or https://"),
    (
        "anonymous unsigned no_sign_request skip_signature aws_skip_signature public",
        "'anon'",
    ),
    ("profile_name aws_profile", "'profile'"),
    ("request_payer requester", "'requester_pays'"),
    (
        "addressing_style force_path_style use_path_style path_style s3_force_path_style",
        "config_kwargs={'s3': {'addressing_style': 'path'}}",
    ),
    (
        "virtual_hosted_style_request virtual_hosted_style force_virtual_addressing",
        "config_kwargs={'s3': {'addressing_style': 'virtual'}}",
    ),
    ("signature_version", "config_kwargs={'signature_version': ...}"),
    ("proxies proxy proxy_url", "config_kwargs={'proxies': ...}"),
    ("max_pool_connections max_connections", "config_kwargs={'max_pool_connections': ...}"),
    ("user_agent user_agent_extra", "config_kwargs={'user_agent_extra': ...}"),
    (
        "timeout connect_timeout read_timeout",
        "the store parameter timeout=...",
    ),
)

GCSFS = _table(
    (
        "credentials credential credentials_file service_account service_account_file "
        "service_account_path service_account_key google_service_account google_credentials "
        "google_application_credentials application_credentials key key_file keyfile access_token",
        "'token'",
    ),
    ("anon anonymous skip_signature unsigned no_sign_request", "token='anon'"),
    ("project_id google_cloud_project billing_project", "'project'"),
    ("endpoint api_endpoint base_url url host", "'endpoint_url'"),
    ("user_project userproject request_payer requester", "'requester_pays'"),
    ("headers proxy trust_env client_kwargs", "session_kwargs={...}"),
    ("region", "'default_location'"),
)

ADLFS = _table(
    ("account storage_account storage_account_name azure_storage_account_name", "'account_name'"),
    (
        "key access_key storage_account_key azure_storage_account_key azure_storage_key",
        "'account_key'",
    ),
    ("sas sas_key shared_access_signature azure_storage_sas_token", "'sas_token'"),
    ("token azure_credential", "'credential'"),
    ("conn_str conn_string connection_str connectionstring", "'connection_string'"),
    ("tenant azure_tenant_id", "'tenant_id'"),
    ("client azure_client_id", "'client_id'"),
    ("secret azure_client_secret", "'client_secret'"),
    ("anonymous skip_signature unsigned public", "'anon'"),
    ("endpoint endpoint_url azure_endpoint host url", "'account_host' or 'connection_string'"),
    ("container container_name azure_container_name", "the container in the URL: abfs://name"),
)

AIOHTTP = _table(
    ("header extra_headers http_headers", "'headers'"),
    ("token bearer bearer_token api_key access_token", "headers={'Authorization': 'Bearer ...'}"),
    (
        "user username password basic_auth login",
        "client_kwargs={'auth': aiohttp.BasicAuth(...)}",
    ),
    ("user_agent", "headers={'User-Agent': ...}"),
    ("verify verify_ssl ssl_verify", "'ssl'"),
    ("trust_env", "client_kwargs={'trust_env': True}"),
    ("proxies", "'proxy'"),
)

WEBDAV4 = _table(
    ("url endpoint endpoint_url host hostname webdav_hostname server", "'base_url'"),
    ("user username password login webdav_login webdav_password", "auth=('user', 'password')"),
    ("token bearer bearer_token access_token", "headers={'Authorization': 'Bearer ...'}"),
    ("ssl verify_ssl ssl_verify ca_bundle ca_certs", "'verify'"),
    ("client_cert certificate", "'cert'"),
    ("proxies", "'proxy'"),
)

#: Table by the start of the module name of the filesystem's class.
BY_MODULE = {
    "adlfs.": ADLFS,
    "fsspec.implementations.http": AIOHTTP,
    "gcsfs.": GCSFS,
    "s3fs.": S3FS,
    "webdav4.": WEBDAV4,
}
