"""The text of a dump's articles by mwparserfromhell, as WikiExtractor's JSON lines.

PYTHON benchmarks/peers/mwparser.py DUMP.xml.bz2

It runs with a Python that has that library, and nothing of this package.
"""

import bz2
import json
import sys
from xml.etree import ElementTree

import mwparserfromhell


def main() -> None:
    title = namespace = ""
    is_redirect = False
    with bz2.open(sys.argv[1]) as file:
        for _, element in ElementTree.iterparse(file):
            name = element.tag.rpartition("}")[2]
            if name == "title":
                title, is_redirect = element.text or "", False
            elif name == "ns":
                namespace = element.text or "0"
            elif name == "redirect":
                is_redirect = True
            elif name == "text" and namespace == "0" and not is_redirect:
                code = mwparserfromhell.parse(element.text or "")
                print(json.dumps({"title": title, "text": str(code.strip_code())}))
            elif name == "page":
                element.clear()


main()
