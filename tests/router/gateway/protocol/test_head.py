"""Every head is judged; what a real socket shows of it is in test_connection."""

from hypothesis import given
from hypothesis import strategies as st

from router.gateway.protocol.head import Head, Refusal, read_head


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"host", b"content-length", b"transfer-encoding", b"expect", b"x"]), st.binary(max_size=12)
        )
    )
)
def test_every_head_is_judged(headers: list[tuple[bytes, bytes]]) -> None:
    judged = read_head(b"POST", "1.1", b"/x", headers)
    names = [name for name, _ in headers]
    if isinstance(judged, Head):
        assert names.count(b"host") == 1
        assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
        assert judged.chunked == (b"transfer-encoding" in names)
    else:
        assert isinstance(judged, Refusal) and judged.status in (400, 417, 501)
