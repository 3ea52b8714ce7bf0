"""The limit on concurrent requests to a service, for programs that have to lower it."""

from ._http.limiter import limiter_for

__all__ = ["limiter_for"]
