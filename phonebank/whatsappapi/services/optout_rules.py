"""Whole sentences that ask to stop, told by which kinds of words (services/optout_grammar.py) stand near each other.

Free word order, endings and slang make lists of phrases long and still leave out most of what people write; a refusal
beside what it refuses is what they share. Messages come as `normalise` writes them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from phonebank.whatsappapi.services.optout_grammar import GRAMMAR
from phonebank.whatsappapi.services.optout_idioms import IDIOMS
from phonebank.whatsappapi.services.optout_reasons import REASONS
from phonebank.whatsappapi.services.optout_words import fold

MOST = 40  # words; a longer message is a story, in which anything stands near anything
ANYWHERE = MOST
# Classes that must all be met within so many words. "ends" is whatever brings it to an end, "any" is writing or ads.
# These speak of being written to in words that fit nothing else.
CLEAR: Sequence[tuple[tuple[str, ...], int]] = (
    (("alone",), ANYWHERE),
    (("stop", "pester"), 4),
    (("not", "more", "pester"), 8),
    (("threat", "next"), 14),
    (("threat", "any"), 10),
    (("report", "spam"), 8),
    (("often", "not"), 11),
    (("often", "stop"), 8),
    (("remove", "number", "ads"), 20),
    (("moved", "needless", "write"), 16),
    (("never", "sign", "ends"), ANYWHERE),
    (("who", "number", "ends"), ANYWHERE),
)
# These may be about goods, or about today, as well (services/optout_vetoes.py).
RULES: Sequence[tuple[tuple[str, ...], int]] = (
    (("gone",), ANYWHERE),
    (("nowrite",), ANYWHERE),
    (("forbid", "write"), 3),
    (("not", "write", "again"), 4),
    (("not", "more", "ads", "write"), 10),
    (("not", "want", "fromyou"), 7),
    (("nointerest", "ends"), 10),
    (("shut", "ads"), 4),
    (("remove", "thing"), 6),
    (("takeback", "consent"), 6),
    (("stop", "ads"), 5),
    (("stop", "write"), 3),
    (("how", "off", "ads"), 9),
    (("how", "out"), 8),
    (("needless", "more", "write"), 9),
    (("needless", "ads"), 8),
    (("object", "ads"), 12),
    (("object", "number"), 8),
    (("wrong", "remove"), 16),
    (("moved", "remove"), 12),
    (("want", "out"), 4),
    (("not", "want", "pester"), 5),
    (("number", "not", "advert"), 8),
    (("fedup", "ads"), 6),
    (("fedup", "pester"), 4),
    (("not", "more", "fromyou"), 7),
    (("said", "remove"), 8),
    (("said", "stop"), 5),
)
# "No more offers?" asks, so these do not count in a question.
STATED: Sequence[tuple[tuple[str, ...], int]] = (
    (("not", "more", "write"), 8),
    (("not", "more", "ads"), 8),
    (("not", "want", "ads"), 7),
    (("not", "want", "get"), 5),
)
# "No ads", where nothing else is said.
BRIEF: Sequence[tuple[tuple[str, ...], int]] = ((("not", "advert"), 1), (("forbid", "advert"), 1))
_BRIEF_WORDS = 4
_ORDERED = ("not", "write", "again")
# Somebody should read these.
SMELLS: Sequence[tuple[tuple[str, ...], int]] = (
    (("threat",), ANYWHERE),
    (("not", "bother"), 2),
    (("not", "want", "write"), 4),
    (("never", "consent"), 6),
    (("not", "advert"), 1),
    (("not", "more", "write"), 8),
    (("stop", "thing"), 4),
    (("object",), ANYWHERE),
    (("needless", "write"), 5),
    (("remove", "number"), 10),
    (("not", "want"), 2),
    (("nointerest",), ANYWHERE),
    (("moved",), ANYWHERE),
    (("said", "stop"), 12),
    (("said", "not", "want"), 12),
    (("fedup", "any"), 10),
    (("not", "fromyou"), 6),
    (("number", "not", "ads"), 12),
    (("how", "off", "any"), 9),
)
# Between clauses: no rule reaches over it.
APART = " § § § § § § § § § "
# Beginnings that Arabic writes together with the word.
JOINED = "(?:[وفبلكهين]|ال|وال|بال|لل|هال|هل|هاي)?"

# "No message" is more often missed than refused.
_NOUNS = re.compile(
    r"\*?(?:m[aei]s+[ae]|mensa|bericht|wiadom|сообщ|беспок|رسا|مسج|ميساج|мсг|मैसेज|pesan|msg|msj|sms|spam|app|nachricht|text)"
)

# What is taken away is something else.
_ARTICLE = re.compile(r" (?:una|uma|un|um|eine|einen|ein|une)(?= )(?! vez| fois| volta)")

# Scripts without spaces, in which what is near is near in characters.
_ADS_JA = (
    "広告|宣伝|案内|お知らせ|メルマガ|配信|メッセージ|メール|営業|勧誘|通知|dm|連絡|セール|キャンペーン|プロモーション|スパム|チラシ|"
    "ニュースレター|マーケティング"
)
_ADS_ZH = (
    "廣告|广告|訊息|讯息|消息|信息|短信|推廣|推广|營銷|营销|通知|推送|message|msg|促銷|促销|宣傳|宣传|群發|群发|嘢"
)
_UNSPACED = {
    "zh": re.compile(
        rf"(?:唔好|唔使|不要|不用|別|别|勿|莫|無需|无需).{{0,5}}(?:send|[發发傳传寄](?!貨|货|票|快)|推送|聯|联|打扰|"
        rf"打擾|騷擾|骚扰|"
        rf"煩我|烦我|{_ADS_ZH})"
        rf"|(?:唔想|不想|不願|不愿|不希望|不需要|不接受|拒绝|拒絕|拒收|謝絕|谢绝|唔要).{{0,8}}(?:收到|接收|{_ADS_ZH}|"
        rf"打扰|打擾)"
        r"|(?:刪|删|移除|除去|去掉|踢|剔除|抹).{0,6}(?:我|號碼|号码|名单|名單|资料|資料|联系方式|電話|电话)"
        r"|(?:我|號碼|号码|名单|名單|资料|資料|电话|電話|手机号).{0,8}(?:刪|删|移除|除名|拿掉|去掉|抹)"
        r"|(?:撤回|撤销|撤銷|收回|取消).{0,8}(?:同意|授权|授權|订阅|訂閱|推送|关注)"
        r"|(?:怎么|怎麼|怎樣|怎样|如何|点样|點樣).{0,4}(?:退订|退訂|取消订|取消訂|拒收)"
        r"|(?:从来没|從來沒|没有|沒有|从未|從未|冇|没|沒).{0,3}(?:订阅|訂閱|登记|登記|注册|註冊|关注|關注|同意).{0,12}"
        r"(?:停|删|刪|别|別|不要|取消|唔好)"
        r"|(?:谁|誰|哪里|哪裡|怎么|怎麼|邊個|哪儿).{0,8}(?:号码|號碼|号|電話|电话).{0,10}(?:删|刪|停|别|別|不要|唔好)"
        rf"|(?:停止|停|夠|够|受夠|受够|煩|烦).{{0,3}}(?:send|[發发](?!貨|货|票|快)|{_ADS_ZH})"
        r"|(?:再|还|還|下次|要是|如果|继续|繼續|一[条條次]).{0,10}(?:举报|舉報|投诉|投訴|拉黑|屏蔽|封鎖|封锁|报警|"
        r"報警|告你|检举|檢舉|block|report)"
        rf"|(?:[發发傳传]|{_ADS_ZH}).{{0,10}}(?:举报|舉報|拉黑|屏蔽|封鎖|封锁|block)|(?:已|直接|马上|馬上|我)(?:拉黑|"
        rf"屏蔽|封鎖|封锁|举报|舉報)"
        rf"|(?:烦死|煩死|烦人|煩人|讨厌|討厭).{{0,8}}(?:{_ADS_ZH})|(?:{_ADS_ZH}).{{0,8}}(?:烦死|煩死|烦人|煩人)|"
        rf"被(?:我)?(?:拉黑|屏蔽|封鎖)"
        r"|(?:不需要|不要|不想要).{0,3}(?:你们|你們).{0,3}(?:优惠|優惠|东西|東西|促销|促銷|推荐|推薦)|取消關注|勿扰|"
        r"勿擾|免打扰|免打擾|(?:不要|别|別|不想)再?(?:被)?(?:来|來)?(?:烦|煩|骚扰|騷擾|打扰|打擾)|"
        r"放过我|放過我|饶了我"
        rf"|(?:{_ADS_ZH}|号码|號碼|手机号).{{0,16}}(?:删|刪)(?:掉|除|了)|(?:取消|关闭|關閉|关掉|關掉|停掉|拒绝|拒絕|"
        rf"反对|反對).{{0,8}}(?:{_ADS_ZH})"
        r"|没兴趣.{0,4}(?:别|不要|勿)|沒興趣.{0,4}(?:別|不要|勿)|不需要.{0,6}(?:别|別|不要|勿)|(?:怎么|怎麼|怎样|"
        r"怎樣|如何|点样|點樣).{0,6}(?:不再收|唔再收|不收到)"
    ),
    "ja": re.compile(
        rf"(?:{_ADS_JA}).{{0,12}}(?:結構|いらな|いりません|いらん|要らな|要りません|不要|必要(?:は)?な|"
        rf"必要ありません|控え|遠慮|"
        r"止め|やめ|とめ|停止|解除|ストップ|stop|拒否|お断り|希望(?:しない|しません|いたしません)|望みません|"
        r"欲しくな|ほしくな|うんざり|"
        r"勘弁|送らない|送ってこない|送ってくるな|ブロック|こないよう|来ないよう)"
        r"|(?:同意|承諾|許可|購読|会員登録|登録).{0,6}(?:撤回|取り消|取消|抹消|解除|外し)"
        r"|(?:連絡先|番号|個人情報|データ|アドレス|リスト|名簿).{0,8}(?:消し|消去|削除|外し|はずし|抹消|除外|破棄)"
        rf"|(?:もう|今後|二度と|これ以上|一切).{{0,14}}(?:送ら|送信し|連絡し|届か|(?:{_ADS_JA}).{{0,4}}(?:いい|結構|"
        rf"無理))"
        r"|(?<!ン)(?:stop|ストップ)\s?(?:して|で|お願い)"
        r"|(?:退会|解約|配信停止|登録解除|購読解除).{0,6}(?:したい|希望|方法|願い|手続)"
        r"|(?:次|また|今度|これ以上|もう一[度回]|もう1[度回]|まだ|続け).{0,12}(?:通報|ブロック|訴え|報告し|警察|消費者)"
        rf"|(?:{_ADS_JA}|送|しつこ|うざ|迷惑).{{0,12}}(?:ブロック|通報)|ブロック(?:します|する(?:よ|ね|から|わ)|"
        rf"しました|した$)"
        rf"|(?:番号|電話).{{0,20}}(?:{_ADS_JA}).{{0,20}}(?:消し|消去|削除|外し)|(?:{_ADS_JA}).{{0,12}}(?:反対|異議|"
        rf"やめて)"
        rf"|(?:迷惑|しつこい|うざい|うっとうしい).{{0,6}}(?:やめ|止め)|(?:いらな|いりません|要らな|要りません|不要|"
        rf"結構|やめ|止め).{{0,6}}(?:{_ADS_JA})(?!を?(?:ください|見))"
        r"|スパム.{0,4}報告|(?:興味|関心).{0,6}(?:ない|ありません).{0,8}(?:削除|消し|やめ|送ら|外し)"
        rf"|(?:受信|受け取り|もらい).{{0,4}}(?:たくありません|たくない)|(?:リスト|配信|登録).{{0,6}}(?:抜け|外れ|"
        rf"やめ)たい|(?:{_ADS_JA}).{{0,6}}(?:うざ|しつこ|迷惑|多すぎ)"
        r"|どう(?:やっ|し|すれ|した).{0,8}(?:来なく|こなく|届かなく|止ま|止め|解除|停止|退会|消せ|配信)"
        r"|(?:ほっと|放っと|ほうっと|放って|ほうって)(?:い|お)いて|構わないで|かまわないで|(?:送って|"
        r"連絡して)(?:くん|来ん|く|来)な"
        r"|^(?:解除|停止|退会|削除)(?:して|希望|お願い|したい)|(?:消えろ|失せろ|うせろ|くたばれ)"
        r"|(?:利用|使用).{0,8}(?:反対|拒否|異議|同意しま)|(?:やめ|止め)(?:ろ|てくれ|てほしい|て欲しい|てもらえ|"
        r"ていただ|て頂)"
        r"|登録した(?:覚え|記憶).{0,20}(?:やめ|止め|消|削除|送ら|停止|解除)"
    ),
}

_Met = dict[str, list[tuple[int, int]]]


def sentence_language(message: str, stated: str) -> tuple[str, bool] | None:
    """The language of a sentence that asks to stop, and whether it is clear; None when it does not.

    `stated` is the message without its questions, with its clauses set apart by `APART`.
    """
    for code, pattern in _UNSPACED.items():
        if pattern.search(message):
            return code, False
    if message.count(" ") >= MOST:
        return None
    padded = f" {message} "
    found = None
    for code in GRAMMAR:
        met: _Met = {}
        if _meets(padded, code, CLEAR, met):
            return code, True
        if not found and (_meets(padded, code, RULES, met) or _states(message, stated, code, met)):
            found = code, False
    return found


def _states(message: str, stated: str, code: str, met: _Met) -> bool:
    """Whether one of the rules holds that count in a statement only."""
    rules = [*STATED, *(BRIEF if message.count(" ") < _BRIEF_WORDS else ())]
    return _meets(f" {message} ", code, rules, met) and (stated == message or _meets(f" {stated} ", code, rules, {}))


def smells(message: str) -> bool:
    """Whether it may be one: some of what makes a refusal is in it."""
    padded = f" {message} "
    return message.count(" ") < MOST and any(_meets(padded, code, SMELLS, {}) for code in GRAMMAR)


def _meets(padded: str, code: str, rules: Sequence[tuple[tuple[str, ...], int]], met: _Met) -> bool:
    """Whether one of the rules holds; `met` keeps what was found."""
    classes = classes_of(code)

    def places(name: str) -> list[tuple[int, int]]:
        """First and last word of each place where a class is met."""
        if name not in met:
            found = (one.span(1) for one in classes[name].finditer(padded)) if name in classes else ()
            met[name] = [(padded.count(" ", 0, start), padded.count(" ", 0, end)) for start, end in found]
        return met[name]

    for names, width in rules:
        if all(places(name) for name in names) and _near([places(name) for name in names], width, names == _ORDERED):
            if names != ("gone",):
                return True
            # "Please don't unsubscribe me" is the opposite, and "toglietemi una curiosità" is about something else.
            if any(
                not any(0 < first - last <= 2 for _, last in places("not"))
                and not _ARTICLE.match(padded, _end(padded, end))
                for first, end in places("gone")
            ):
                return True
    return False


def _end(padded: str, word: int) -> int:
    """Where a word ends, counted from one."""
    return [one.start() for one in re.finditer(" ", padded)][word]


def _near(places: list[list[tuple[int, int]]], width: int, is_ordered: bool = False) -> bool:
    """Whether one place of each lies within so many words, no two of them the same words; one after another."""
    if width >= ANYWHERE:
        return True

    def fits(chosen: list[tuple[int, int]], rest: list[list[tuple[int, int]]]) -> bool:
        if not rest:
            return max(last for _, last in chosen) - min(first for first, _ in chosen) <= width
        return any(
            fits([*chosen, one], rest[1:])
            for one in rest[0]
            if all(one[0] > last or (one[1] < first and not is_ordered) for first, last in chosen)
        )

    return fits([], places)


@cache
def classes_of(code: str) -> dict[str, re.Pattern[str]]:
    words = GRAMMAR[code] | IDIOMS[code] | REASONS[code]
    words["ends"] = " ".join(words[name] for name in ("stop", "remove", "gone", "alone"))
    words["bother"] = " ".join(one for one in words["pester"].split() if not _NOUNS.match(one))
    words["advert"] = " ".join(one for one in words["ads"].split() if not _NOUNS.match(one))
    words["any"] = " ".join(words[name] for name in ("write", "ads", "pester"))
    joined = JOINED if code == "ar" else ""
    return {name: re.compile(f" {joined}({any_of(text)})(?= )") for name, text in words.items()}


def any_of(words: str) -> str:
    """One regular expression of a class. Beginnings go on to the end of their word."""
    folded = {fold(word) for word in words.split()}
    parts = [
        (r"[^ ]*" if word[0] == "*" else "")
        + re.escape(word.strip("*.").replace("_", " "))
        + ("" if word.endswith(".") else r"[^ ]*")
        for word in sorted(folded, key=len, reverse=True)
    ]
    return "|".join(parts)
