"""`python -m router.providers.simulator` serves, says where, and stops at SIGTERM."""

import signal
import socket
import subprocess
import sys

import httpx2


def test_module_serves_and_stops() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "router.providers.simulator", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == f"simulator on http://127.0.0.1:{port}"
        transport = httpx2.HTTPTransport(retries=8)  # it says so just before it listens
        with httpx2.Client(transport=transport) as client:
            assert client.get(f"http://127.0.0.1:{port}/v1/models").json()["data"][0]["id"] == "sim-gpt"
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
    assert (out, err) == ("", "")


def test_module_lists_faults() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "router.providers.simulator", "--faults"], capture_output=True, text=True, timeout=30
    )
    assert "cut_json" in done.stdout and done.returncode == 0
