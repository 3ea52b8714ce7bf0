"""Option names of filesystems; option names of other libraries, and their replacements.

The names of other libraries are compared without case, ``_`` and ``-``.
"""

from __future__ import annotations

__all__ = [
    "ADLFS",
    "AIOHTTP",
    "AZURE_IDENTITY",
    "BY_MODULE",
    "FILESYSTEM_OPTIONS",
    "GCSFS",
    "S3FS",
    "STORE_PARAMETERS",
    "WEBDAV4",
    "normalized",
]


def normalized(name: str) -> str:
    """The form in which names are compared: ``endpointUrl`` is ``endpoint_url``."""
    return name.lower().replace("_", "").replace("-", "")


def _table(*rows: tuple[str, str]) -> dict[str, str]:
    return {normalized(name): option for names, option in rows for name in names.split()}


#: Parameters of a store, which are not storage options.
STORE_PARAMETERS = _table(
    ("read_only readonly", "the store parameter read_only=..."),
    ("timeout connect_timeout read_timeout", "the store parameter timeout=..."),
    ("retries max_retries max_attempts retry_config", "the store parameter retries=..."),
    ("missing_on_forbidden", "the store parameter missing_on_forbidden=..."),
    ("max_concurrency concurrency", "the store parameter max_concurrency=..."),
    ("out_of_range", "the store parameter out_of_range=..."),
    ("allow_racy_create", "the store parameter allow_racy_create=..."),
    ("transport fast", "the store parameter transport=..."),
    ("large_value_bytes multipart_threshold", "the store parameter large_value_bytes=..."),
    ("part_bytes part_size multipart_chunksize chunk_size", "the store parameter part_bytes=..."),
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
    ("anonymous unsigned no_sign_request skip_signature aws_skip_signature public", "'anon'"),
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
    ("user username password basic_auth login", "client_kwargs={'auth': aiohttp.BasicAuth(...)}"),
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


def _names(*rows: str) -> frozenset[str]:
    return frozenset(name for row in rows for name in row.split())


#: Options that adlfs passes to ``azure.identity.DefaultAzureCredential``, which ignores unknown
#: names.
AZURE_IDENTITY = _names(
    "additionally_allowed_tenants authority broker_client_id broker_tenant_id",
    "disable_instance_discovery exclude_broker_credential exclude_cli_credential",
    "exclude_developer_cli_credential exclude_environment_credential",
    "exclude_interactive_browser_credential exclude_managed_identity_credential",
    "exclude_powershell_credential exclude_shared_token_cache_credential",
    "exclude_visual_studio_code_credential exclude_workload_identity_credential identity_config",
    "interactive_browser_client_id interactive_browser_tenant_id logging_enable",
    "managed_identity_client_id process_timeout require_envvar shared_cache_tenant_id",
    "shared_cache_username subscription visual_studio_code_tenant_id workload_identity_client_id",
    "workload_identity_tenant_id",
)

#: Options of the filesystems of services, of FTP and SFTP, and of fsspec's layers.
FILESYSTEM_OPTIONS = AZURE_IDENTITY | _names(
    # s3fs
    "anon cache_regions client_kwargs config_kwargs default_block_size default_cache_type "
    "default_fill_cache endpoint_url fixed_upload_size key local_expiry_check max_concurrency "
    "password requester_pays s3_additional_kwargs secret session token use_ssl username "
    "version_aware",
    # gcsfs
    "access block_size cache_timeout check_connection consistency default_location "
    "finalize_on_close max_mrd_pool_cache_queue_size mrd_pool_cache_size project "
    "requests_timeout secure_serialize session_kwargs timeout",
    # adlfs
    "account_host account_key account_name assume_container_exists blocksize client_id "
    "client_secret connection_string connection_timeout credential location_mode read_timeout "
    "request_session sas_token socket_timeout tenant_id",
    # fsspec's HTTPFileSystem, and aiohttp
    "auth cache_options cache_type cookies encoded get_client headers proxy same_scheme "
    "simple_links size_policy ssl",
    # FTP, SFTP and paramiko, local files
    "acct allow_agent auto_mkdir encoding host key_filename look_for_keys passphrase pkey port "
    "ssh_kwargs tempdir tls",
    # fsspec's caching layers, archives and tables of references
    "allowZip64 cache_check cache_mapper cache_size cache_storage cache_storage_mode check_files "
    "compression compresslevel expiry_time fs global_store index_store max_block max_gap mode "
    "path ref_storage_args remote_options remote_protocol same_names simple_templates target "
    "template_overrides",
)
