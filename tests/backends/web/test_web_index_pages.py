from __future__ import annotations

import time

import pytest

from fsspec_store._backends.web.index_pages import parse_index

URL = "http://host:8080/data/a%20b/"

NGINX = """<html>
<head><title>Index of /data/a b/</title></head>
<body>
<h1>Index of /data/a b/</h1><hr><pre><a href="../">../</a>
<a href="sub/">sub/</a>                             23-Nov-2026 17:49                   -
<a href="zarr.json">zarr.json</a>                   23-Nov-2026 17:49                 512
<a href="a%26b%3Cc%3E">a&amp;b&lt;c&gt;</a>         23-Nov-2026 17:49                   0
<a href="per%2520c">per%20c</a>                     23-Nov-2026 17:49                   0
<a href="%C3%BCn%C3%AF">ünï</a>                     23-Nov-2026 17:49                   0
</pre><hr></body>
</html>
"""
APACHE = """<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">
<html><head><title>Index of /data/a b</title></head><body>
<h1>Index of /data/a b</h1>
<table><tr><th valign="top"><img src="/icons/blank.gif" alt="[ICO]"></th>
<th><a href="?C=N;O=D">Name</a></th><th><a href="?C=M;O=A">Last modified</a></th></tr>
<tr><td><a href="/data/">Parent Directory</a></td><td>&nbsp;</td></tr>
<tr><td><A HREF="sub/">sub/</A></td><td>2026-11-23 17:49</td></tr>
<tr><td><a href="a&amp;b">a&amp;b</a></td><td>2026-11-23 17:49</td></tr>
</table><address>Apache Server at host Port 8080</address></body></html>
"""
LIGHTTPD = """<!DOCTYPE html><html><head><title>Index of /data/a b/</title></head><body>
<h2>Index of /data/a b/</h2><table summary="Directory Listing"><tbody>
<tr class="d"><td class="n"><a href="../">..</a>/</td><td class="t">Directory</td></tr>
<tr class="d"><td class="n"><a href="sub/">sub</a>/</td><td class="t">Directory</td></tr>
<tr><td class="n"><a href="file%3Aname">file:name</a></td><td class="s">0.0K</td></tr>
</tbody></table><div class="foot">lighttpd/1.4.69</div></body></html>
"""
PYTHON = """<!DOCTYPE HTML><html lang="en"><head><title>Directory listing for /data/a b/</title>
</head><body><h1>Directory listing for /data/a b/</h1><hr><ul>
<li><a href=".hidden">.hidden</a></li><li><a href="sub/">sub/</a></li>
</ul><hr></body></html>
"""
CADDY = """<!DOCTYPE html><html><head><title>a b</title></head><body onload='initFilter()'>
<header><h1><a href="../../">/</a><a href="../">data</a>/<a href="">a b</a>/</h1></header>
<main><b>1</b> directory <a href="?sort=namedirfirst&order=desc">S</a>
<a href="?sort=size&order=asc">Size</a> <a href=".."><span class="goup">Go up</span></a>
<a href="./sub/"><span class="name">sub/</span></a>
<a href="./file:name"><span class="name">file:name</span></a></main>
<footer>Served with <a href="https://caddyserver.com">Caddy</a></footer></body></html>
"""
GO = """<!doctype html>\n<meta name="viewport" content="width=device-width">
<pre>\n<a href="zarr.json">zarr.json</a>\n<a href="sub/">sub/</a>\n</pre>\n"""
IIS = """<html><head><title>host - /data/a b/</title></head><body><H1>host - /data/a b/</H1><hr>
<pre><A HREF="/data/">[To Parent Directory]</A><br><br>
 11/23/2026  5:49 PM  &lt;dir&gt; <A HREF="/data/a%20b/sub/">sub</A><br>
 11/23/2026  5:49 PM  12 <A HREF="/data/a%20b/zarr.json">zarr.json</A><br></pre><hr></body></html>
"""

APACHE_PLAIN = """<html><head><title>Index of /data/a b</title></head><body>
<h1>Index of /data/a b</h1><ul><li><a href="/data/"> Parent Directory</a></li>
<li><a href="it's"> it's</a></li><li><a href="sub/"> sub/</a></li></ul></body></html>
"""
#: Nested folders have their path for a title, the topmost ones their name.
RCLONE = """<!DOCTYPE html><html><head><title>/data/a b</title></head>
<body onload='filter();toggle("order");changeSize()'><header><h1>
<a href="../../">/</a><a href="../">data</a>/<a href="">a b</a>/
<a class="zip-root" href="?download=zip" title="Download root as .zip"><svg></svg></a></h1></header>
<a href="?sort=name&order=asc" class="order">Name</a>
<a href=".."><span class="goup">Go up</span></a>
<span class="name"><a href="sub/">sub/</a></span>
<a class="zip" href="sub/?download=zip"><svg><title>Zip</title></svg></a>
<span class="name"><a href="./file:name">file:name</a></span><td><size>2</size></td></body></html>
"""
#: No title of an index page, but a link to the parent and names.
NAMELESS = """<body><a href="..">..</a> <a href="sub/">&#128193; sub/</a> 2026-Nov-27 17:49 -
<a href="zarr.json"><b>zarr.json</b> <small>1.2 KiB</small></a></body>
"""
CUT = """<title>Index of /data/a b/</title><pre><a href="../">../</a>
<a href="temperature-chunk-0-0-0-0">temperature-chunk-..&gt;</a> 23-Nov-2026 512
<a href="sub/">sub/</a></pre>
"""


@pytest.mark.parametrize(
    ("page", "objects"),
    [
        (NGINX, ["zarr.json", "a&b<c>", "per%20c", "ünï"]),
        (APACHE, ["a&b"]),
        (LIGHTTPD, ["file:name"]),
        (PYTHON, [".hidden"]),
        (CADDY, ["file:name"]),
        (GO, ["zarr.json"]),
        (IIS, ["zarr.json"]),
        (APACHE_PLAIN, ["it's"]),
        (RCLONE, ["file:name"]),
        (NAMELESS, ["zarr.json"]),
        (CUT, ["temperature-chunk-0-0-0-0"]),
    ],
    ids=[
        *("nginx", "apache", "lighttpd", "python", "caddy", "go", "iis"),
        *("apache, plain", "rclone", "another", "names cut off"),
    ],
)
def test_the_pages_of_servers(page: str, objects: list[str]) -> None:
    assert parse_index(page, URL) == (objects, ["sub"])


def test_a_heading_counts_with_a_parent_link_or_without_other_text() -> None:
    heading, child = "<title>Directory: /data/a b</title>", "<a href='x'>x</a>"
    for rest in (
        f"{child} 5 bytes 23-Nov-2026",
        f"<a href='/data/'>Parent Directory</a> Read me. {child} <a href='/faq'>Questions</a>",
        f"<a href='?C=N;O=D'>Name</a> Read me first. {child}",
        f"<a href='/data'>Up To [/data]</a> {child} 0.1 kb <h3>Apache Tomcat/9.0</h3>",
    ):
        assert parse_index(heading + rest, URL) == (["x"], [])
    # The top of a server has no parent link.
    page = f"<title>Index of /</title>{child} lighttpd/1.4.69"
    assert parse_index(page, "http://host/") == (["x"], [])


@pytest.mark.parametrize(
    "page",
    [
        "<title>Index of /x/</title><pre><a href='../'>../</a></pre>",
        "<title>/data/a b</title><script></script><a href='?sort=name&order=asc'>Name</a>",
        "<h1>Directory listing for /x/</h1><ul></ul>",
        "<pre>\n</pre>\n",
    ],
)
def test_an_empty_directory(page: str) -> None:
    assert parse_index(page, URL) == ([], [])


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<html><body></body></html>",
        # Links to children, and other text.
        "<h1>Our data</h1><p>Read <a href='zarr.json'>this</a> first.</p>",
        "<p>Read <a href='zarr.json'>this</a> first.</p>",
        "<pre>See <a href='zarr.json'>zarr.json</a></pre>",
        "<pre><a href='zarr.json'>zarr.json</a><a href='https://example.org/'>more</a></pre>",
        # Only links, as in a menu.
        "<ul><li><a href='intro.html'>Introduction</a></li></ul>",
        "<title>404 Not Found</title><h1>404 Not Found</h1>",
        "<title>App</title><div id='app'></div><script>document.write('Index of /')</script>",
        "<title>Shop</title><a href='?sort=name&order=asc'>by name</a><a href='hat'>hat</a>",
        "<title>About the index of everything</title><a href='a'>a</a>",
        # With such a title: links with other texts, links that a script adds.
        "<title>Index of /data/</title><a href='about.html'>About us</a>",
        "<title>Index of /data/</title><script>fill()</script><div id='rows'></div>",
        # No parent or sort link, and other text.
        "<title>Directory: /data/a b</title><a href='/'>Home</a><a href='hat.html'>hat.html</a>",
        "<title>Directory: /a b</title><p>Read <a href='hat.html'>hat.html</a> before you go on.",
        "<title>Index of our data</title><a href='/'>Home</a><a href='a'>a</a>",
        "<title>Index of A/B tests</title><a href='/'>Home</a><a href='intro.html'>intro.html</a>",
        # Some children, among other links.
        "<title>a b</title><a href='..'>..</a> Download <a href='zarr.json'>zarr.json</a> first.",
        "<title>a b</title><a href='..'>..</a><a href='zarr.json'>zarr.json</a><a href='/x'>x</a>",
        "<title>/data/a b</title><a href='?sort=name&order=asc'>Name</a><a href='hat'>Hats</a>",
        "<a href='..'>Back</a><a href='zarr.json'>zarr.json</a>",
        # A login page, and a page of an application for any path.
        "<title>Log in</title><form></form><a href='/forgot'>Forgot it?</a>",
        "<title>Data</title><base href='/'><a href='../'>..</a><a href='x'>x</a>",
    ],
)
def test_other_pages_are_not_index_pages(page: str) -> None:
    assert parse_index(page, URL) is None


@pytest.mark.parametrize(
    "href",
    [
        "?C=N;O=D",
        "/",
        "../",
        "..",
        ".",
        "",
        "./",
        "/data/",
        "/data/a%20b/",
        "/data/a%20b",
        "/data/a%20bc",
        "/other/x",
        "sub/deeper",
        "//elsewhere/data/a%20b/x",
        "http://elsewhere/data/a%20b/x",
        "http://host:8080/data/x",
        "https://[broken/x",
        "mailto:someone@host",
        "javascript:void(0)",
        "x?download=1",
        "x#top",
        "a%2Fb",
        "%2E%2E",
        "a%00b",
        "%FF",
        "\udcff",
    ],
)
def test_links_that_are_not_children(href: str) -> None:
    page = f"<title>Index of /</title><a href='{href}'>it</a><a href='child'>child</a>"
    assert parse_index(page, URL) == (["child"], [])


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("/data/a%20b/x", "x"),
        ("http://host:8080/data/a%20b/x", "x"),
        ("./x", "x"),
        ("../a b/x", "x"),
        ("x%2520y", "x%20y"),
        ("semi;colon", "semi;colon"),
        ("q%3Fm%23", "q?m#"),
        ("...", "..."),
        ("  x  ", "x"),
    ],
)
def test_links_to_children(href: str, name: str) -> None:
    page = f"<title>Index of /</title><a name='no href'></a><a href='{href}'>{name}</a>"
    assert parse_index(page, URL) == ([name], [])


def test_a_child_linked_twice_is_listed_once_and_an_object_beside_its_prefix() -> None:
    page = "<h1>Index of /</h1>" + "<a href='x'>icon</a><a href='x'>x</a><a href='x/'>x/</a>" * 2
    assert parse_index(page, URL) == (["x"], ["x"])


def test_links_may_have_the_query_of_the_directory() -> None:
    page = "<h1>Index of /</h1><a href='x?token=t'>x</a><a href='y?token=other'>y</a>"
    assert parse_index(page, URL + "?token=t") == (["x"], [])


def test_links_are_relative_to_the_base_element() -> None:
    page = "<title>Index of /</title><base href='/data/a%20b/'><a href='x'>x</a>"
    assert parse_index(page, URL) == (["x"], [])


def test_text_that_looks_like_a_link_is_not_one() -> None:
    page = (
        "<title>Index of /</title><!-- <a href='a'>a</a> --><script>'<a href=b>b</a>'</script>"
        "<img alt='<a href=c>c</a>'><a title='href=d' href=\"e>'f\">e>'f</a><a href=g>g</a>"
    )
    assert parse_index(page, URL) == (["e>'f", "g"], [])


@pytest.mark.parametrize(
    "piece",
    [
        *("<a>", "<a ", "<a href='", '<a "', "<a href=", "<!", "<!--", "<![CDATA[", "</", "<a/"),
        *("&", "&abcdefgh", "<title>", "<script>", "<style></style>", "<h1>x - /", "<pre>", "="),
        *("<a href=x>", "<a href=..>..", "<a href='&#", "x - /", "Index of ", "..", "<a href "),
    ],
)
def test_any_page_is_read_in_linear_time(piece: str) -> None:
    # Python's parser takes seconds for some pages of 15 KB.
    page = piece * (300_000 // len(piece))
    began = time.process_time()
    parse_index(page, URL)
    parse_index("<title>Index of /" + page, URL)
    parse_index("<title>Index of /</title><a href='" + page, URL)
    assert time.process_time() - began < 10


def test_a_character_reference_of_many_digits_is_text() -> None:
    page = f"<title>Index of /</title><a href='&#{'9' * 10_000};'>x</a><a href='y'>y</a>"
    assert parse_index(page, URL) == (["y"], [])
