"""Requests to Google Cloud Storage, as fake-gcs-server plays it."""

from __future__ import annotations

import pytest
from conformance.support import MakeStore
from proxied import OnFakeGCS
from servers import GCSEndpoint
from servers.fault_proxy import Answer, FaultProxy

from .copying import CopyingRules
from .counting import counting
from .rules import ListingRules, Protocol, ReadingRules, WritingRules


class TestFakeGCS(OnFakeGCS, ReadingRules, WritingRules, ListingRules, CopyingRules):
    protocol = Protocol(
        page_keys=1000,
        page_size="maxResults",
        # "Sending batch requests" allows no more.
        batch_keys=100,
        # The emulator takes longer for each object, the more there are.
        crowd=2100,
        misses_say_little=(
            'the emulator says "Not Found" of anything; Google says which of the two is missing'
        ),
    )

    @pytest.fixture(autouse=True)
    def _endpoint(self, endpoint: GCSEndpoint) -> None:
        self.endpoint = endpoint

    async def put_markers(self, make_store: MakeStore, *folders: str) -> None:
        bucket, _, root = make_store().path.partition("/")
        with self.endpoint.client() as client:
            for folder in folders:
                client.bucket(bucket).blob(f"{root}/{folder}").upload_from_string(b"")

    async def test_a_first_miss_is_one_request_where_the_response_states_what_is_missing(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        # As Google words it, as text and as JSON.
        words = "No such object: bucket/missing"
        for body in (words, f'{{"error": {{"code": 404, "message": "{words}"}}}}'):
            answer = Answer(404, {}, body.encode())
            proxy.plan = lambda *_, answer=answer: answer
            for use in (
                lambda store: store.get("missing"),
                lambda store: store.get_version("missing"),
                lambda store: store.exists("missing"),
                lambda store: store.delete("missing"),
            ):
                store = make_store()
                with counting(proxy, store) as seen:
                    assert not await use(store)
                assert len(seen) == 1
