from base64 import b64decode
from html.parser import HTMLParser

from camscope.render.html import html_summary


class Read(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes.setdefault(tag, dict(attributes))

    def handle_data(self, data):
        self.texts.append(data)


def test_the_picture_is_embedded_whole_and_scales_down():
    picture = bytes(range(256))
    image = Read(html_summary(picture, [])).attributes["img"]
    prefix = "data:image/png;base64,"
    assert image["src"].startswith(prefix)
    assert b64decode(image["src"].removeprefix(prefix)) == picture
    assert "max-width:100%" in image["style"]
    assert "height:auto" in image["style"]


def test_every_row_is_read_back_whatever_it_contains():
    rows = [("layer", "layer4"), ("<script>", "a & b"), ('"quoted"', "</td><img src=x onerror='x'>")]
    read = Read(html_summary(b"", rows))
    assert list(zip(read.texts[::2], read.texts[1::2], strict=True)) == rows
    assert read.tags.count("img") == 1
    assert "script" not in read.tags
    assert read.attributes["img"]["alt"] == "; ".join(f"{key}: {value}" for key, value in rows)


def test_no_rows_no_table():
    read = Read(html_summary(b"", []))
    assert read.tags == ["div", "img"]
    assert read.attributes["img"]["alt"]
