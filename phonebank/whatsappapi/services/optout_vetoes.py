"""What a message is about when it is about something else: goods, a day, a class, a word that is asked about.

Words are written as in services/optout_grammar.py, all languages at once.
"""

from __future__ import annotations

import re
from functools import cache

from phonebank.whatsappapi.services.optout_grammar import GRAMMAR
from phonebank.whatsappapi.services.optout_rules import JOINED, any_of, classes_of

# Orders, visits, days and goods. "Do not send the order before Monday" is no refusal.
_BUSINESS = (
    "cart. basket item items warenkorb carrito carrinho cesta panier carrello winkelwagen winkelmand koszyk sepet "
    "корзин سله السله कार्ट keranjang barang order parcel package deliver shipment shipping invoice receipt price "
    "table booking reservation appointment photo picture address size cake ticket refund monday tuesday wednesday "
    "thursday friday saturday sunday tomorrow tonight commande colis livrais livrer livreur facture prix rendez "
    "reservation photo "
    "adresse lundi mardi mercredi jeudi vendredi samedi dimanche demain pedido paquete factura precio cita. reserva "
    "foto direccion lunes martes miercoles jueves viernes sabado domingo manana encomenda entrega fatura preco "
    "marcacao consulta morada segunda terca quarta quinta sexta amanha bestellung paket lieferung lieferz lieferd "
    "liefert. rechnung preis termin "
    "tisch adresse montag dienstag mittwoch donnerstag freitag samstag sonntag morgen ordine pacco consegn fattura "
    "prezzo appuntamento indirizzo lunedi martedi mercoledi giovedi venerdi domenica domani bestelling pakket bezorg "
    "factuur prijs afspraak maandag dinsdag woensdag donderdag vrijdag zaterdag zondag zamowien paczk dostawa. "
    "dostawy. dostawe. dostawie. faktur "
    "cen. wizyt adres poniedzial wtorek srod czwartek piatek sobot niedziel jutro siparis kargo fatura fiyat randevu "
    "adres pazartesi sali. carsamba persembe cuma yarin заказ посыл достав счет цен запис адрес понедельник вторник "
    "сред четверг пятниц суббот воскресен завтра طلب الطلب طلبي توصيل فاتوره سعر موعد عنوان الاثنين الثلاثاء "
    "الاربعاء الخميس الجمعه السبت الاحد بكره غدا ऑर्डर पार्सल डिलीवरी बिल कीमत पता सोमवार मंगलवार बुधवार गुरुवार "
    "शुक्रवार शनिवार रविवार कल. order. somvar kal. pesanan paket tagihan harga alamat senin selasa rabu kamis jumat "
    "sabtu minggu besok"
)
# Days and places, food and things, colours and counts: what is not to be sent, or not now.
_THINGS = (
    "today tonight noon at_home nobody_is home_until until before_ bag spoon cutlery sugar salt onion milk bread egg "
    "red. "
    "blue. green. black. white. third. fourth. second_one the_one_with file pdf link key keys money "
    "hoy. en_casa no_hay_nadie antes_de hasta_el azucar cebolla leche pan. bolsa rojo azul verde negro blanco tercer "
    "cuarto llave dinero "
    "hoje. em_casa ninguem_em ate_as acucar leite pao. cebola saco. sacola vermelh preto. branco terceir chave. "
    "dinheiro "
    "aujourdhui aujourd_hui a_la_maison ce_soir avant_ jusqua sucre lait. pain. oignon rouge bleu vert. noir blanc "
    "troisieme quatrieme cle. cles. "
    "heute zuhause zu_hause daheim vor_dem bis_zum zucker milch brot. zwiebel tute rot. rote. roten blau grun. schwarz "
    "dritte vierte datei schlussel geld "
    "oggi a_casa in_casa stasera zucchero latte. pane. cipolla busta rosso blu. verde nero bianco terzo quarto "
    "chiave chiavi soldi "
    "vandaag thuis vanavond suiker melk brood. ui. uien tas. rood rode blauw groen zwart derde vierde sleutel geld. "
    "dzis. dzisiaj w_domu wieczorem cukier cukru mleko chleb cebul torb czerwon niebiesk zielon czarn trzeci czwart "
    "plik "
    "klucz pieniad "
    "bugun evde aksam seker sut. ekmek sogan poset kirmizi mavi. yesil siyah beyaz ucuncu dorduncu dosya anahtar "
    "сегодня дома. вечером сахар молок хлеб лук. пакет красн синий синюю зелен черн белый третий третью четверт файл "
    "ключ "
    "деньги "
    "اليوم البيت بالبيت سكر حليب خبز بصل كيس احمر ازرق اخضر اسود ابيض الثالث ملف مفتاح فلوس دلوقتي "
    "आज घर_पर घर_में चीनी दूध रोटी प्याज थैली लाल नीला तीसर चौथ अभी aaj ghar_pe ghar_par ghar_me abhi cheeni chini "
    "doodh "
    "roti pyaz pyaaz thaili laal neela teesr chauth chautha "
    "yet. todavia aun. ainda. noch_nicht nog_niet jeszcze_nie henuz пока. dulu. rapat. rain. lluvia llov llueve "
    "pleuvoir pluie regn piov chuva дождь "
    "torta torte tort. torcie tarta gateau bolo. kuchen taart торт كيك kue. kuenya pastaya *dan_once. *den_once. "
    "sebelum jam. pehle baje "
    "code. codigo codice kod. kodu kode. kodenya код. كود الكود कोड coda. "
    "prima_delle قبل. uhr "
    "hari_ini dirumah di_rumah malam_ini gula susu. roti bawang kantong merah biru hijau hitam putih ketiga keempat "
    "kunci sendok sambal pedas"
)
# What is to be sent stands right after it, with its article.
_OBJECT = re.compile(
    r"\b(?:mand|envi|invi|envoy|schick|send|stur|wysyl|отправ|присыл)[^ ]* (?:(?:me|mir|mij|uns|us|nos) )?"
    r"(?:el|los|las|la|o|os|as|le|den|das|il|lo|gli|the|het|kurier\w*|курьер\w*) "
    r"|\b(?:saqu|saca|quit|borr|togli|lev|enlev|retir|tire|tira|haal)[^ ]* (?:(?:me|moi|mi) )?(?:el|la|los|las|il|lo|"
    r"gli|i|le|les|o|a|os|as"
    r"|un|una|um|uma) (?!num|list|conta|dat|dad|nom|tel|fich|cadas|me|mi|mon |ma )|\bдо \d|\b(?:vor|voor|before|"
    r"antes d\w+|avant|przed) \d"
    r"|\b(?:pisz|пиш)[^ ]* (?:na|на) (?!ten|moj|этот|мой)"
)
# What else people leave, cancel and are taken from. A word of advertising beside it changes that.
_OTHER = (
    "guest guests subscription_to_the lesson class. classes course workshop gym. school kindergarten tournament "
    "waiting_list wait_list waitlist guest_list "
    "shopping_list wish_list washing curiosity "
    "clase. clases curso gimnasio escuela colegio guarderia torneo lista_de_espera lista_de_compra lista_de_invitados "
    "una_duda curiosidad "
    "aula. aulas academia escola creche natacao torneio uma_duda lista_de_compras lista_de_convidados "
    "lista_de_presentes "
    "cours. ecole gymnas creche tournoi liste_d_attente liste_dattente liste_de_course un_doute piscine "
    "unterricht kurs. kurses schule kita. kindergarten turnier warteliste gasteliste einkaufsliste training fahrstunde "
    "mittagessen sportstunde nachmittagsbetreuung "
    "lezione corso. palestra scuola asilo torneo lista_d_attesa lista_dattesa lista_attesa un_dubbio curiosita piscina "
    "gymles zwemles lessen rijles cursus school opvang toernooi wachtlijst gastenlijst boodschappenlijst training. "
    "lekcj kurs. kursu silown szkol przedszkol turniej list_oczekuj zajec zajecia trening "
    "ders. dersi kurs. kursu okul kres. turnuva bekleme_list spor_salon "
    "урок занят курс. курса школ садик турнир лист_ожидан список_ожидан трениров секци "
    "حصه درس الدرس مدرسه نادي دوره قايمه_الانتظار "
    "क्लास कोर्स स्कूल class coaching tuition "
    "kelas kursus sekolah daftar_tunggu gym. "
    "card. tarjeta cartao mijn_pas karte karta karty kartu carte. sim_card bank_card tarjeta_de cartao carta_di "
    "karte_sperr kart. karti karti. банковск карту atm."
)
_ASKED = re.compile(
    r"\bwhat (?:does|is|did|do)\b.*\b(?:mean|means|meaning|unsubscribe rate)\b|\bwas (?:bedeutet|heisst)\b|"
    r"\bque significa\b"
    r"|\bque signifie\b|\bque veut dire\b|\b(?:cosa|che) significa\b|\bwat betekent\b|\bco (?:to )?(?:znaczy|oznacza)\b"
    r"|\bne demek\b|\bчто (?:значит|такое|означает)\b|ما معني|\bmatlab\b|मतलब|\bapa (?:arti|maksud)|什么意思|"
    r"什麼意思|どういう意味"
    r"|\bya (?:les |te |le )?(?:escribi|llame|mande)\b|\b(?:dont|do not|didnt) (?:want|mean) to (?:bother|disturb)\b|"
    r"\bsorry to (?:bother|disturb)\b"
    r"|\b(?:no quiero|je (?:ne )?veux pas (?:vous|te)|ich (?:will|mochte) (?:sie |euch |dich )?nicht|nao (?:quero|"
    r"queria)|non v(?:oglio|orrei)"
    r"|ik wil (?:je |u |jullie )?niet|nie chc\w*|не хо\w+) (?:molestar|derang\w+|stor\w+|incomod\w+|disturb\w+|"
    r"storen|przeszkadz\w+|беспоко\w+)"
)
# What somebody did not understand.
_UNCLEAR = re.compile(
    r"\b(?:no entend\w+|no entiendo|nao entend\w+|(?:didnt|dont|did not|do not) (?:understand|get it)|pas compris|"
    r"comprends pas"
    r"|verstehe|non (?:capisco|ho capito)|begrijp|nie rozumiem|anlamad\w+|не пон\w+|samajh nahi\w*|tidak paham|"
    r"ga\w? ngerti)\b"
    r"|ما فهمت|समझ नहीं"
)
# From this day on is for ever, and so is "after today" in Arabic.
_FROM_NOW = re.compile(
    r"\b(?:from|as of|starting|a partir d[eao]|desde|des|ab|da|vanaf|od|mulai|sejak|с) (?:hoy|hoje|heute|oggi|"
    r"vandaag|dzis\w*"
    r"|today|tonight|aujourd ?hui|hari ini|сегодня\w*|jetzt)\b|\bbugunden\b|بعد اليوم|من اليوم|\baaj (?:se|"
    r"ke baad)\b|आज (?:से|के बाद)"
)
# A word that says it alone, whatever else is in the message.
_ALONE = re.compile(
    r"\b(?:unsub|opt(?:ing)? (?:me )?out|desuscri|desinscri|descadastr|desabonn|abbestell|disiscri|wypis(?:z|"
    r"ac) mnie|отпиш|отпис)"
)
_UNSPACED = re.compile(
    "商品|注文|荷物|発送|請求書|領収書|予約|配達|在庫|写真|住所|曜日|明日|今日|今は|塾|授業|レッスン|大丈夫ですか|订单|訂單|发货|發貨|快递|快遞|發票|"
    "发票|收据|地址|照片|预约|預約|星期|礼拜|禮拜|周[一二三四五六日]|明天|今天|今日|不在家|没人|冇人|香菜|葱|辣|顺丰|順豐|红色|紅色|蓝色|藍色|课|課"
)
_UNSPACED_ADS = re.compile(
    "広告|宣伝|お知らせ|メルマガ|配信|メッセージ|営業|勧誘|通知|セール|キャンペーン|スパム|廣告|广告|訊息|讯息|消息|信息|短信|推廣|推广|營銷|营销|推送|促銷|促销|"
    "宣傳|宣传|群發|群发|騷擾|骚扰|垃圾"
)


def is_about_else(message: str, *, is_clear: bool) -> bool:
    """Whether it speaks of other things than being written to.

    Advertising named beside them outweighs them; `is_clear`: it speaks of writing in words that fit nothing else.
    """
    padded = f" {_FROM_NOW.sub(' ', message)} "
    if _UNSPACED.search(message):
        return not _UNSPACED_ADS.search(message)
    if _ASKED.search(message) or (message.count(" ") < 9 and _UNCLEAR.search(message)):
        return True
    is_other = _compiled(_OTHER).search(padded) is not None
    is_goods = _compiled(_BUSINESS + " " + _THINGS).search(padded) or _OBJECT.search(padded)
    if not is_other and (is_clear or _ALONE.search(message) or not is_goods):
        return False
    return not any(classes_of(code)["ads"].search(padded) for code in GRAMMAR)


@cache
def _compiled(words: str) -> re.Pattern[str]:
    return re.compile(f" {JOINED}(?:{any_of(words)})(?= )")
