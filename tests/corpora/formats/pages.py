"""Pages of a wiki written for these tests, and the text that a reader of each sees."""

NESTED_TEMPLATES = (
    """\
{{Infobox settlement
| name = Lomé
| area = {{convert|90|km2|{{#if:x|abbr=on}}}}
| map = {{Location map|Togo|label={{nowrap|Lomé {{small|(capital)}}}}}}
}}
'''Lomé''' ({{lang-ee|Lome}}; {{IPA|fr|lɔme}}) is {{nowrap|the capital}} of \
{{lang|fr|République togolaise}}{{efn|{{lang|fr|x}}}}, {{convert|5|to|10|km|mi}} \
wide ({{x}}, ; f()).
{{{1|{{PAGENAME}}}}}""",
    [
        "Lomé (Lome) is the capital of République togolaise, 5 to 10 km wide (f()).",
    ],
)
TABLES = (
    """\
Before the table.
{| class="wikitable"
|+ Caption
! A !! B
|-
| 1 || {{x|}} [[a|b]]
|
{| border=1
| inner
|}
| after the inner one
|}
Between them.
<table><tr><td>cell</td></tr></table>
:{|
| indented
|}
Behind them.""",
    ["Before the table.", "Between them.", "Behind them."],
)
REFERENCES = (
    """\
One.<ref>A note, {{cite|a}} with [[link]].</ref> Two.<ref name="n" group='g'/> \
Three.<ref name=n>
{{cite web
| url = http://x.org
}}
</ref><REF>loud</REF> Four.<!-- a comment <ref> in it --> Five.
<references />
<references>
<ref name="n">late</ref>
</references>""",
    ["One. Two. Three. Four. Five."],
)
FORMULAS = (
    """\
The sum <math>a^2 + b^2 = {c^{2}}</math> holds <math display="block">x</math>here, \
in H<sub>2</sub>O and <chem>H2O</chem>water.

<syntaxhighlight lang="c">int main() { return [[0]]; }</syntaxhighlight>
<pre>
preformatted
</pre>
 <code>x</code> is code.""",
    ["The sum holds here, in H2O and water.", "x is code."],
)
PICTURES = (
    """\
[[File:A.jpg|thumb|upright=1.2|A [[caption|with]] a [[File:B.png|20px]] {{in}} it]]
[[Fichier:C.svg|vignette|Une légende de [[Rome]]]]Rome est [[Image:d.ogg]]une ville.
<gallery mode="packed">
File:E.jpg|One [[link]]
F.jpg|Two
</gallery>
[[Bild:Alt.JPG|mini|alt]] Elle a [[:Fichier:C.svg|une image]].
[[Catégorie:Ville d'Italie]]
[[Category:Rome|*]]
[[de:Rom]]
[[zh-min-nan:Lô-má]]""",
    ["Rome est une ville.", "Elle a une image."],
)
LINKS = (
    """\
A [[link]]s, a [[target page|label]], [[wikt:word|a word]], [[#Section|a section]], \
[[:Category:Birds]], [[a|b [[c]] d]], [http://x.org its site], [//y.org other \
[[site]]], [https://z.org], [mailto:a@b.c mail] and [sic]. [[Help:Contents]] too; \
http://plain.org stays.""",
    [
        "A links, a label, a word, a section, Category:Birds, b c d, its site, other "
        "site, , mail and [sic]. Help:Contents too; http://plain.org stays."
    ],
)
TYPE = (
    """\
'''Bold''', ''italic'', '''''both'''''. L'''Odyssée'' d'Homère, l''''Iliade''' et \
''d'autres''. Rock 'n' roll.

__NOTOC____NICHT_INDEXIEREN__A<br/>B&nbsp;&mdash;&nbsp;C &lt;b&gt; &amp;amp; \
<span style="color:red">red</span> <small>small</small> __init__ AT&T.""",
    [
        "Bold, italic, both. L'Odyssée d'Homère, l'Iliade et d'autres. Rock 'n' roll.",
        "A B — C <b> &amp; red small __init__ AT&T.",
    ],
)
LISTS_AND_HEADINGS = (
    """\
Lead, first line
and its second.

== History ==
It began.
* an item
** another
It went on.
# one
; term : meaning
: indented
=== Later ===
= is a sign.
----
Then it ended.
== See also ==
* [[Other]]""",
    [
        "Lead, first line and its second.",
        "It began.",
        "It went on.",
        "= is a sign.",
        "Then it ended.",
    ],
)
NO_MARKUP = (
    """\
Write <nowiki>[[a|b]] and {{t}} and '''c'''</nowiki> so.<nowiki/>

<nowiki>* no item</nowiki>""",
    ["Write [[a|b]] and {{t}} and '''c''' so.", "* no item"],
)
VARIANTS = (
    """\
-{T|zh-hans:标题;zh-hant:標題}-'''-{zh-hans:计算机; zh-hant:電腦;}-'''是-{zh-cn:智能;\
zh-tw:智慧;zh-hk:智能}-机器，-{R|不变}--{H|zh:隐}-。-{A|zh-hans:网络;zh-hant:網路}-和\
-{保留}-（{{lang|en|computer}}）。
它由{{link-en|程序|Program}}控制。
See {{ill|the rest|de|Rest}}.

-{sr-ec: Београд; sr-el: Beograd}- је град.""",
    [
        "计算机是智能机器，不变。网络和保留（computer）。它由程序控制。 See the rest.",
        "Београд је град.",
    ],
)
BROKEN = (
    """\
{{Infobox never closed
| name = X
| [[unclosed
'''X''' is <ref>a thing]] with stray {{ braces, [[half|links and <b>tags.
{| class="wikitable"
! heading
|-
| cell
Its text goes on. <!-- and the comment
never ends""",
    [
        "X is a thing with stray braces, half|links and tags.",
        "Its text goes on.",
    ],
)
NOTHING = (
    """\
{{disambiguation}}
* [[Mercury (planet)]]
* [[Mercury (element)]]
({{x}}) 1990.
[[Category:Mercury]]""",
    [],
)
