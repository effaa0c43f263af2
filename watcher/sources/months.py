"""Month names as strftime's %b writes them, in the languages logs are written in."""
# ruff: noqa: RUF001 - foreign letters are the point here

from __future__ import annotations

from typing import Final

# One row a language, January first, as glibc's locales have them (abmon; ab_alt_mon where it
# differs). Dots and case do not count. Names that mean different months in two languages
# ("lis" is October in Croatian and November in Polish) are left out by `_table`.
_NAMES: Final = """
jan feb mar apr may jun jul aug sep oct nov dec
january february march april may june july august september october november december
jan feb mär apr mai jun jul aug sep okt nov dez
jän feber mrz apr mai juni juli aug sept okt nov dez
janv févr mars avril mai juin juil août sept oct nov déc
ene feb mar abr may jun jul ago sep oct nov dic
gen feb mar apr mag giu lug ago set ott nov dic
jan fev mar abr mai jun jul ago set out nov dez
jan feb mrt apr mei jun jul aug sep okt nov dec
jan feb mars april maj juni juli aug sep okt nov dec
jan feb mars april mai juni juli aug sep okt nov des
tammi helmi maalis huhti touko kesä heinä elo syys loka marras joulu
sty lut mar kwi maj cze lip sie wrz paź lis gru
led úno bře dub kvě čen čec srp zář říj lis pro
jan feb mar apr máj jún júl aug sep okt nov dec
jan feb mar apr maj jun jul avg sep okt nov dec
sij velj ožu tra svi lip srp kol ruj lis stu pro
јан феб мар апр мај јун јул авг сеп окт нов дец
яну фев мар апр май юни юли авг сеп окт ное дек
янв фев мар апр мая июн июл авг сен окт ноя дек
янв февр март апр май июнь июль авг сент окт нояб дек
січ лют бер кві тра чер лип сер вер жов лис гру
сту лют сак кра мая чэр ліп жні вер кас ліс сне
jan febr márc ápr máj jún júl aug szept okt nov dec
ian feb mar apr mai iun iul aug sep oct nov dec
ιαν φεβ μαρ απρ μαΐ ιουν ιουλ αυγ σεπ οκτ νοε δεκ
ιαν φεβ μάρ απρ μάι ιούν ιούλ αύγ σεπ οκτ νοέ δεκ
oca şub mar nis may haz tem ağu eyl eki kas ara
yan fev mar apr may iyn iyl avq sen okt noy dek
қаң ақп нау сәу мам мау шіл там қыр қаз қар жел
saus vas kov bal geg birž liep rugp rugs spal lapkr gruod
jan feb mar apr mai jūn jūl aug sep okt nov dec
jaan veebr märts apr mai juuni juuli aug sept okt nov dets
jan feb mar apr maí jún júl ágú sep okt nóv des
gen febr març abr maig juny jul ag set oct nov des
xan feb mar abr mai xuñ xul ago set out nov dec
urt ots mar api mai eka uzt abu ira urr aza abe
jan shk mar pri maj qer kor gsh sht tet nën dhj
jan feb mar apr mei jun jul agu sep okt nov des
jan feb mac apr mei jun jul ogos sep okt nov dis
ene peb mar abr may hun hul ago set okt nob dis
jan feb mar apr maj jun jul aŭg sep okt nov dec
ינו פבר מרץ אפר מאי יונ יול אוג ספט אוק נוב דצמ
ينا فبر مار أبر ماي يون يول أغس سبت أكت نوف ديس
ژانویه فوریه مارس آوریل مه ژوئن ژوئیه اوت سپتامبر اكتبر نوامبر دسامبر
जन॰ फ़र॰ मार्च अप्रैल मई जून जुल॰ अग॰ सित॰ अक्तू॰ नव॰ दिस॰
জানু ফেব মার্চ এপ্রিল মে জুন জুলাই আগস্ট সেপ্টেম্বর অক্টোবর নভেম্বর ডিসেম্বর
ஜன பிப் மார் ஏப் மே ஜூன் ஜூலை ஆக செப் அக் நவ டிச
มค กพ มีค เมย พค มิย กค สค กย ตค พย ธค
იან თებ მარ აპრ მაი ივნ ივლ აგვ სექ ოქტ ნოე დეკ
հնվ փտր մար ապր մայ հնս հլս օգս սեպ հոկ նմբ դեկ
"""


def _folded(name: str) -> str:
    # "İyn".casefold() has a combining dot.
    return name.replace(".", "").casefold().replace("\u0307", "")


def _table() -> dict[str, int]:
    meanings: dict[str, set[int]] = {}
    for row in _NAMES.strip().splitlines():
        for month, name in enumerate(row.split(), 1):
            meanings.setdefault(_folded(name), set()).add(month)
    return {name: month for name, (month, *others) in meanings.items() if not others}


_MONTHS: Final = _table()
_NUMBERED: Final = ("月", "월", "thg", "th")
"""Chinese and Japanese, Korean, and Vietnamese number their months."""


def month_of(name: str) -> int | None:
    """Give 1 to 12 for a month's name in any language; None where it is unknown or ambiguous."""
    name = _folded(name.strip()).removeprefix("de ").removeprefix("d\u2019")
    for mark in _NUMBERED:
        if mark in name:
            digits = name.replace(mark, "").strip()
            number = int(digits) if digits.isascii() and digits.isdecimal() else 0
            return number if 1 <= number <= 12 else None  # noqa: PLR2004 - months of a year
    return _MONTHS.get(name)
