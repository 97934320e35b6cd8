"""One small HWPX document of our own (OWPML, KS X 6101), to rehearse with: nothing else here writes the format.

It holds what the import filter insists on, which is more than the standard does, and a line of text in three scripts.
"""

from __future__ import annotations

import io
import zipfile

NAMESPACES = " ".join(
    f'xmlns:{prefix}="http://www.hancom.co.kr/hwpml/2011/{name}"'
    for prefix, name in (("hp", "paragraph"), ("hs", "section"), ("hc", "core"), ("hh", "head"), ("hv", "version"))
)
SCRIPTS = ("hangul", "latin", "hanja", "japanese", "other", "symbol", "user")
FONT = '<hh:font id="0" face="Noto Sans CJK KR" type="TTF" isEmbedded="0"/>'
FONTS = "".join(f'<hh:fontface lang="{script.upper()}" fontCnt="1">{FONT}</hh:fontface>' for script in SCRIPTS)


def _each_script(name: str, value: int) -> str:
    values = " ".join(f'{script}="{value}"' for script in SCRIPTS)
    return f"<hh:{name} {values}/>"


CHARACTERS = "".join(
    _each_script(name, value)
    for name, value in (("fontRef", 0), ("ratio", 100), ("spacing", 0), ("relSz", 100), ("offset", 0))
)
SIDES = ("left", "right", "top", "bottom")
BORDERS = "".join(f'<hh:{side}Border type="SOLID" width="0.1 mm" color="#000000"/>' for side in SIDES)
MARGINS = "".join(f'<hc:{name} value="0" unit="HWPUNIT"/>' for name in ("intent", "left", "right", "prev", "next"))
BREAKS = " ".join(f'{name}="0"' for name in ("widowOrphan", "keepWithNext", "keepLines", "pageBreakBefore"))
NUMBERS = '<hh:beginNum page="1" footnote="1" endnote="1" pic="1" tbl="1" equation="1"/>'
HEADER = f"""<hh:head {NAMESPACES} version="1.4" secCnt="1">{NUMBERS}<hh:refList>
<hh:fontfaces itemCnt="7">{FONTS}</hh:fontfaces>
<hh:borderFills itemCnt="1">
<hh:borderFill id="1" threeD="0" shadow="0" breakCellSeparateLine="0" centerLine="NONE">{BORDERS}</hh:borderFill>
</hh:borderFills>
<hh:charProperties itemCnt="1">
<hh:charPr id="0" height="1000" textColor="#000000" shadeColor="none" useFontSpace="0" useKerning="0" symMark="NONE"
 borderFillIDRef="1">{CHARACTERS}</hh:charPr>
</hh:charProperties>
<hh:tabProperties itemCnt="1"><hh:tabPr id="0" autoTabLeft="0" autoTabRight="0"/></hh:tabProperties>
<hh:numberings itemCnt="0"/>
<hh:paraProperties itemCnt="1">
<hh:paraPr id="0" tabPrIDRef="0" condense="0" fontLineHeight="0" snapToGrid="0">
<hh:align horizontal="JUSTIFY" vertical="BASELINE"/>
<hh:heading type="NONE" idRef="0" level="0"/>
<hh:breakSetting breakLatinWord="KEEP_WORD" breakNonLatinWord="KEEP_WORD" {BREAKS} lineWrap="BREAK"/>
<hh:margin>{MARGINS}</hh:margin>
<hh:lineSpacing type="PERCENT" value="160"/>
</hh:paraPr>
</hh:paraProperties>
<hh:styles itemCnt="1">
<hh:style id="0" type="PARA" name="Normal" engName="Normal" paraPrIDRef="0" charPrIDRef="0" nextStyleIDRef="0"
 langID="1042" lockForm="0"/>
</hh:styles>
</hh:refList></hh:head>"""
HIDDEN = " ".join(
    f'{name}="0"'
    for name in ("hideFirstHeader", "hideFirstFooter", "hideFirstMasterPage", "hideFirstPageNum", "hideFirstEmptyLine")
)
SECTION = f"""<hs:sec {NAMESPACES}>
<hp:p id="1" paraPrIDRef="0" styleIDRef="0" pageBreak="0" columnBreak="0" merged="0">
<hp:run charPrIDRef="0">
<hp:secPr id="" textDirection="HORIZONTAL" spaceColumns="1134" tabStop="8000" outlineShapeIDRef="0" memoShapeIDRef="0"
 textVerticalWidthHead="0" masterPageCnt="0">
<hp:grid lineGrid="0" charGrid="0" wonggojiFormat="0"/>
<hp:startNum pageStartsOn="BOTH" page="0" pic="0" tbl="0" equation="0"/>
<hp:visibility {HIDDEN} border="SHOW_ALL" fill="SHOW_ALL" showLineNumber="0"/>
<hp:pagePr landscape="WIDELY" width="59528" height="84188" gutterType="LEFT_ONLY">
<hp:margin header="4252" footer="4252" gutter="0" left="8504" right="8504" top="5668" bottom="4252"/>
</hp:pagePr>
</hp:secPr>
<hp:ctrl><hp:colPr id="" type="NEWSPAPER" layout="LEFT" colCount="1" sameSz="1" sameGap="0"/></hp:ctrl>
</hp:run>
<hp:run charPrIDRef="0"><hp:t>Lazaretto \ub77c\uc790\ub808\ud1a0 \u9694\u96e2</hp:t></hp:run>
</hp:p>
</hs:sec>"""
PACKAGE = """<opf:package xmlns:opf="http://www.idpf.org/2007/opf/"><opf:metadata/>
<opf:manifest>
<opf:item id="header" href="Contents/header.xml" media-type="application/xml"/>
<opf:item id="section0" href="Contents/section0.xml" media-type="application/xml"/>
</opf:manifest>
<opf:spine><opf:itemref idref="header"/><opf:itemref idref="section0"/></opf:spine>
</opf:package>"""
CONTAINER = """<ocf:container xmlns:ocf="urn:oasis:names:tc:opendocument:xmlns:container"><ocf:rootfiles>
<ocf:rootfile full-path="Contents/content.hpf" media-type="application/hwpml-package+xml"/>
</ocf:rootfiles></ocf:container>"""
VERSION = f"""<hv:HCFVersion {NAMESPACES} tagetApplication="WORDPROCESSOR" major="5" minor="1" micro="0" buildNumber="1"
 os="1" application="Lazaretto" appVersion="1" xmlVersion="1.4"/>"""  # "taget": as the format has it
MEMBERS = {
    "mimetype": "application/hwp+zip",  # first and stored, as in OpenDocument
    "version.xml": VERSION,
    "META-INF/container.xml": CONTAINER,
    "Contents/content.hpf": PACKAGE,
    "Contents/header.xml": HEADER,
    "Contents/section0.xml": SECTION,
}


def document() -> bytes:
    """The document, one page; the same bytes each time."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as package:
        for name, text in MEMBERS.items():
            package.writestr(zipfile.ZipInfo(name), text.replace("\n", ""))
    return packed.getvalue()
