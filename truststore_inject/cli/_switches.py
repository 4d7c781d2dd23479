"""What makes tools that are not Python follow the system store by themselves: a copy of it would go out of date."""

# UV_NATIVE_TLS is for uv before 0.11.
SWITCHES = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1", "NODE_USE_SYSTEM_CA": "1", "DENO_TLS_CA_STORE": "system"}
