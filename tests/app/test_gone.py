"""Clients that leave in the middle, over real sockets: the server stays up, and goes on with the others."""

import http.client
import json
import socket
import threading

import pytest

from saev.app import Session
from saev.app.answers import unpack
from saev.app.server import HOST, listening, server_of
from tests.app.examples import CELL
from tests.app.test_routes import edit
from tests.app.test_uploads import png


@pytest.fixture(scope="module")
def port(bench, tmp_path_factory):
    session = Session({CELL: lambda uploads: bench}, tmp_path_factory.mktemp("study"))
    with listening(0) as listener:
        server = server_of(session, listener)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


def ask(port, **headers):
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    headers = {"Origin": f"http://{HOST}:{port}"} | headers
    connection.request("POST", "/api/edit", json.dumps(edit()), headers)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def raw(port, path, body, length):
    """A connection on which so much of a body of `length` was sent."""
    connection = socket.create_connection((HOST, port))
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nOrigin: http://{HOST}:{port}\r\n"
    connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + body)
    return connection


def test_a_client_that_leaves_takes_nothing_with_it(port):
    body = json.dumps(edit()).encode()
    for _ in range(30):
        raw(port, "/api/edit", body, len(body)).close()  # asked, and gone
    for _ in range(5):
        raw(port, "/api/upload", png(40, 40)[:100], 5000).close()  # in the middle of a file
        raw(port, "/api/edit", body[:20], len(body)).close()
    status, content = ask(port)
    assert status == 200 and unpack(content)[1]["labels"].shape == (3, 16)


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(port):
    connection = raw(port, "/api/upload", b"", 10**10)
    assert connection.recv(200).startswith(b"HTTP/1.1 413")
    connection.close()
    assert ask(port)[0] == 200


def test_a_request_of_another_host_is_refused_over_a_real_socket_too(port):
    assert ask(port, Host="evil.example")[0] == 403
    assert ask(port, Origin="http://evil.example")[0] == 403
