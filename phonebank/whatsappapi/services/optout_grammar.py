"""What refusals are made of, by language: words of a kind near words of another kind, whatever stands between.

A class is a list of beginnings of words, separated by spaces: `_` stands for a space, a dot for the word's end, `*` for
any beginning. They are written as people write them and folded like messages. The rules that join classes:
services/optout_rules.py.
"""

from __future__ import annotations

# not + more + write or ads; not + want + ads; remove + thing; takeback + consent; stop + ads or write;
# never + sign, and who + number, beside something that ends it (stop, remove, gone); gone says it alone;
# forbid + write where a word of its own forbids, nowrite where an ending does.
GRAMMAR: dict[str, dict[str, str]] = {
    "en": {
        "not": "dont don_t do_not never not. no_longer no. wont will_not",
        "more": "more. anymore any_more further longer future again. ever.",
        "write": "txt text messag msg contact writ send sent mail email call. calls. calling whatsapp hear_from receiv "
        "get. getting spamm pester bother",
        "ads": "txts message msg. msgs. texts. texting advert ads. ad. promo offers. newsletter marketing spam "
        "campaign "
        "broadcast notification mailing sms. deals. blasts. junk solicitation communication these_updates "
        "these_things this_stuff advertis mesag messeg messges promotion pitches",
        "want": "rather want wanna wish need. care. interested agree consent authori permit subscrib sign asked "
        "need_to "
        "wanting",
        "remove": "take_this remove delete erase take_me take_my scrub strike scratch drop_me drop_my get_me purge "
        "unlist "
        "take_it_out take_it_off cut_me",
        "thing": "list. lists. database system. records. contacts. mailing number. broadcast details data. "
        "phone_number my_info my_details my_data",
        "takeback": "withdraw revok rescind retract object. opt_out",
        "consent": "consent permission authori agreement marketing processing",
        "stop": "stop. stopping quit. cease desist refrain enough. sick_of fed_up tired_of done_with im_done halt. "
        "discontinue knock_off no_more stop_it_with cut_it_out leave_off lay_off stahp",
        "never": "nobody never didnt did_not havent have_not dont_remember",
        "sign": "sign subscrib ask agree consent opt. opted register join",
        "who": "who. where_did how_did how_have",
        "number": "number. contact. phone. info.",
        "gone": "name_off number_off end_this_subscription end_my_subscription unsub opt_me_out opting_out opt_out. "
        "opts_out remove_me take_me_off delete_me leave_me_alone "
        "lose_my_number leave_me_be",
    },
    "es": {
        "not": "no. nn. ni. nunca jamas tampoco sin.",
        "more": "mas. vuelv volver ya. nunca jamas sigan siga sigu seguir",
        "write": "escrib mand envi contact llam molest mensaj whatsapp whasap wasap textos recib mandand reciba lleg "
        "jod",
        "ads": "mensaj msj msg sms publicidad promo oferta anuncio spam boletin newsletter comunicacion propaganda "
        "notificacion avisos difusion campana novedades publi. publis ofert descuento propagandas correos",
        "want": "quier queremos deseo deseamos interesa autoriz acept consient necesit hace_falta",
        "remove": "borr elimin quit. quita quite saca. sacar saque saquen remuev remover retir suprim tache borrar "
        "eliminen quiten",
        "thing": "lista numero contacto datos base. registro difusion agenda grupo sistema telefono",
        "takeback": "retir revoc revoqu anul cancel opongo",
        "consent": "consentimiento autorizacion permiso suscripcion tratamiento",
        "stop": "paren. pare. parad. basta deja. dejen dejad deje. dejar cese alto. harto harta cans parad cesen "
        "cesad cansad podrian_dejar cort corten",
        "never": "nunca jamas no_me yo_no no_he",
        "sign": "suscri registr inscri apunt anot pedi. pedido solicit di. autori acept",
        "who": "quien como de_donde",
        "number": "numero contacto telefono",
        "gone": "me_borre me_elimin me_saquen me_den_de_baja borrenme borrame borreme eliminenme eliminame elimineme "
        "quitenme quitame quiteme saquenme sacame "
        "saqueme desuscri desinscri darme_de_baja dar_de_baja denme_de_baja demen_de_baja de_baja_mi damen_de_baja "
        "dame_de_baja deme_de_baja denme_la_baja causar_baja dejadme_en_paz dejenme_en_paz dejeme_en_paz",
    },
    "pt": {
        "not": "nao. n. nunca jamais sem. nem.",
        "more": "mais. nunca_mais voltem_a volte_a ja_nao continu segui",
        "write": "mand envi escrev contact contat incomod perturb receb mensag ligar ligue chamar chatear enche "
        "encham cheg",
        "ads": "mensag msg sms publicidade propaganda promo oferta anuncio spam newsletter comunicac notificac "
        "avisos divulgac campanha marketing ofertas publi. descontos spams",
        "want": "quer desej gostaria autoriz aceit consint interess pretend preciso permit",
        "remove": "tira. tirar tire. tirem remov retir exclu apag elimin delet risqu",
        "thing": "lista numero contacto contato dados base. cadastro telefone sistema cadastros numeros",
        "takeback": "retir revog cancel anul oponho solicito_a_remoc",
        "consent": "consentimento autorizac permissao inscric subscric assinatura contato contacto envio",
        "stop": "parem. pare. parar. chega. basta deixem_de deixe_de cessem cansad fart para_com parem_com paro "
        "cessar deixa_de",
        "never": "nunca jamais nao_me eu_nao nao_fiz",
        "sign": "cadastr inscrev inscri regist subscrev assinei pedi. autoriz solicit dei. aceitei",
        "who": "quem como. de_onde onde",
        "number": "numero contato contacto telefone",
        "gone": "descadastr desinscrev me_tira_d me_tirem me_remov me_exclu me_apag removam_me retirem_me tirem_me "
        "em_paz me_esquec anular_a_subscric cancelar_a_subscric",
    },
    "fr": {
        "not": "ne. n. pas. aucun jamais ni. veux_plus",
        "more": "plus. davantage jamais desormais dorenavant continu encore",
        "write": "envoi envoy ecri contact messag sms. textos appel relanc sollicit solicit recev recoi derang embet "
        "recontact emmerd harcel ecriv",
        "ads": "messag msg sms. textos pub. pubs. publicit promo offre newsletter spam demarch sollicit annonc "
        "notification communication campagne prospection reclame pubs offres trucs_promo demarchage reclam reduction",
        "want": "veux voul souhait desir accept consen interess autoris besoin",
        "remove": "retir enlev m_enlev menlev supprim effac ray. rayez rayer raye sort. sortez vir. virez otez "
        "desinscri sortir",
        "thing": "liste numero num. fichier base. donnees coordonnees contacts. diffusion repertoire systeme telephone",
        "takeback": "retir revoqu annul oppos",
        "consent": "consentement accord. autorisation abonnement prospection traitement",
        "stop": "veux_plus veut_plus voulons_plus recevoir_plus arret stop. stopp cess suffit marre assez. "
        "ras_le_bol fini_les basta cessez arretez veux_pas_rec en_ai_marre",
        "never": "jamais pas. rien.",
        "sign": "inscri demand abonn autoris donne accept souscri",
        "who": "qui. comment ou_avez d_ou",
        "number": "numero num. coordonnees contact.",
        "gone": "desabonn desinscri retirez_moi enlevez_moi supprimez_moi rayez_moi sortez_moi otez_moi virez_moi "
        "laissez_moi_tranquil foutez_moi_la_paix fichez_moi_la_paix lachez_moi laissez_moi_en_paix",
    },
    "de": {
        "not": "nicht. nichts. nix. kein nie. niemals ned. net. ohne",
        "more": "mehr. weiter kunftig zukunft mehr_bekommen nie_wieder fortan",
        "write": "schreib schick send zusend zuschick zukommen kontakt melden anschreib anruf bekomm erhalt empfang "
        "nachricht belast belaest krieg kriegen zuspam",
        "ads": "*nachricht *werbung werb msg angebot newsletter spam sms. mitteilung aktionen promo info. infos. "
        "reklame mails. whatsapps marketing rundschreib *angebot *infos. rabatt newsletters mails. spamm",
        "want": "will. woll mochte wunsch interess brauch zustimm erlaub einverstand verzicht kein_interesse "
        "keinen_bedarf",
        "remove": "melde_mich melde_ich_mich trage_mich trag_mich losch entfern streich nehm nimm tilg rausnehm "
        "raus. vernicht loschung loschen geloscht nehmt",
        "thing": "*nummer *liste *verteiler daten kontakt. kontakte datenbank kartei mich_raus mich_aus system ab. "
        "aus. telefonnummer *daten. datensatz",
        "takeback": "widerruf zieh nehme widersprech zuruck",
        "consent": "einwillig zustimm erlaubnis einverstandnis werb nutzung datenverarbeitung",
        "stop": "lass_das nimmer stop. stopp stoppt. hort_auf hor_auf horen_sie_auf aufhor unterlass schluss genug. "
        "reicht. "
        "satt. lasst_das lassen_sie_das einstell verschon horn_sie_auf hort_endlich schluss_mit genug_von aufzuhor "
        "unterlassen",
        "never": "nie. niemals nicht. ohne habe_mich_nicht",
        "sign": "angemeld anmeld bestellt zugestimmt registrier eingetrag erlaubt gewollt einwillig abonniert",
        "who": "woher wer. wie_seid wie_sind wo_habt",
        "number": "nummer handynummer kontakt daten",
        "gone": "losche_mich losch_mich streich_mich loscht_mich abmeld abbestell abzumeld melde_mich_ab "
        "melde_ich_mich austragen in_ruhe melden_sie_mich_ab "
        "tragt_mich_aus tragen_sie_mich_aus trage_mich_aus streicht_mich loscht_mich loschen_sie_mich nehmt_mich",
    },
    "it": {
        "not": "non. nn. mai. niente nessun senza ne.",
        "more": "piu. mai. ulteriori oltre altri. altre. futuro continu ulterior",
        "write": "scriv mand invi contatt messag chiam disturb rompe ricev sms. telefon ricever riceva arriv",
        "ads": "messag msg sms. pubblicit promo offert spam newsletter comunicazion notific annunci volantin "
        "marketing offerte sconti proposte promozional",
        "want": "voglio vogl vorrei desider interess accett acconsent autorizz bisogno intend grad serve occorre",
        "remove": "cancell rimuov rimozion togl elimin lev. leva levat levami tira_mi depenn escludet rimuover "
        "cancellar toglier",
        "thing": "lista numero elenco rubrica dati. database contatt broadcast archivi sistema telefono",
        "takeback": "revoc ritir annull oppong",
        "consent": "consenso autorizzazion permesso iscrizion trattamento",
        "stop": "basta. smett piantat finitel finiamol cessa cessat fermat ferma. stop. stufo stufa smettere finitela "
        "piantatela finiamola",
        "never": "mai. non_mi non_ho nn_mi",
        "sign": "iscri registr chiest richiest dato autorizz abbon accett",
        "who": "chi. come_avete come_hai da_dove dove",
        "number": "numero contatto",
        "gone": "mi_tolga mi_cancell mi_rimuov disiscri cancellatemi cancellami cancellarmi rimuovetemi rimuovimi "
        "rimuovermi toglietemi toglimi "
        "toglietemi eliminatemi levatemi levami depennatemi lasciatemi_in_pace lasciami_in_pace lasciatemi_stare "
        "non_scrivetemi non_contattatemi non_mandatemi nn_mandatemi nn_scrivetemi",
    },
    "nl": {
        "not": "niet. nie. geen. niks niets nooit geeneens zonder",
        "more": "meer. ooit nog. verder voortaan toekomst langer steeds",
        "write": "stur stuur appen appje bericht mail contact bel. bellen benader schrijv lastig krijg ontvang "
        "krijgen stuurt berichten spam",
        "ads": "smsje bericht msg sms. reclam aanbieding nieuwsbrief spam promo advertent mailing apps. appjes "
        "meldingen "
        "acties. marketing troep korting aanbod actie. spam. folders reclames",
        "want": "wil. wens hoef. hoeft interess behoefte zin. toestemming prijs_op nodig behoef zit_niet",
        "remove": "haal. haalt halen verwijder schrap gooi wis. wissen delete delet",
        "thing": "*lijst *nummer bestand systeem gegevens contacten database app_lijst telefoonnummer",
        "takeback": "trek intrek trekken herroep bezwaar",
        "consent": "toestemming akkoord inschrijving marketing verwerking",
        "stop": "stop. stopt. kap. kappen hou_op houd_op houdt_op ophoud genoeg. zat. klaar_met beu. nokken hou_eens "
        "kap_met kappen_met ophouden schei schaf stop_nou basta",
        "never": "nooit. niet. geen",
        "sign": "aangemeld ingeschreven opgegeven toestemming gevraagd geabonneerd",
        "who": "hoe. wie. waar",
        "number": "nummer gegevens",
        "gone": "schrap_me schrap_mij afmeld uitschrijv schrijf_me_uit schrijf_mij_uit schrijf_mij_maar_uit "
        "schrijf_me_maar_uit "
        "meld_me_af meld_mij_af haal_me_er haal_mij_er haal_me_eraf haal_mij_eraf haal_me_van haal_mij_van met_rust "
        "verwijder_me verwijder_mij",
    },
    "pl": {
        "not": "nie. nigdy zadn bez.",
        "more": "wiecej juz. dalszych kolejn nigdy nadal",
        "write": "pisz pisa wysyl wysl przysyl kontakt dzwon wiadomos zaczep dostaw otrzym przesyl sms dosta "
        "otrzymyw wysylk slac spam zawrac",
        "ads": "wiadomos reklam ofert promocj spam newsletter sms marketing powiadom informacji_handlow smiec "
        "mailing spamu ofertami rabat zniz promocjam",
        "want": "chce chcial zycze zgadz zgod interes potrzeb wyraz pros chcem wyrazam",
        "remove": "usun wykresl skresl wyrzuc skasuj kasuj wymaz usunie wykresle usunac usuniecie skasowac",
        "thing": "list baz. bazy numer danych dane. kontakt rejestr system telefon numeru lista",
        "takeback": "wycof cofa cofn odwol sprzeciw",
        "consent": "zgod pozwoleni subskrypcj marketing przetwarzan",
        "stop": "koniec dosc. przesta stop. zaprzest zaniech skoncz przestan mam_dosc przestancie skonczcie "
        "zaprzesta dosyc wystarczy",
        "never": "nigdy nie.",
        "sign": "zapis zgadz zgod prosil prosib rejestr podawal subskryb",
        "who": "skad kto.",
        "number": "numer kontakt dane.",
        "gone": "wypis wypisz wyrejestr rezygnuj zrezygnow nieprzesyl niewysyl niekontakt niepisan odsubskryb "
        "dajcie_mi_spokoj daj_mi_spokoj dajcie_spokoj odczepcie",
    },
    "tr": {
        "not": "istemiyor istemem istemi olmasin",
        "more": "artik bir_daha birdaha bidaha daha_fazla bundan_sonra hicbir",
        "write": "mesaj msj yaz gonder at. ileti ara. arama iletisim sms rahatsiz gelmesin gelsin iletisime",
        "ads": "mesaj msj reklam sms kampanya ileti bildirim spam tanitim pazarlama duyuru bulten promosyon "
        "kampanyalar indirim firsat teklif mesajlar",
        "want": "istemi almak gonderilmesini istiyor",
        "remove": "sil. silin cikar cikart kaldir silinme siliniz silmeniz silinsin",
        "thing": "liste numara rehber kayit kaydi veritaban bilgilerim grup verilerim veri bilgi numaram",
        "takeback": "sonlandir bitir geri_cek iptal geri_al",
        "consent": "abonelig uyelig onay izin iznim riza abonelik uyelik",
        "stop": "yeter dur. durdur kes. kesin birak son. bitsin biktim kesin_artik biktik usandim birakin",
        "never": "hic. asla kayit_olmadim uye_olmadim izin_vermedim abone_olmadim",
        "sign": "kayit uye izin abone onay",
        "who": "kimden nereden kim. nasil",
        "number": "numara",
        "nowrite": "yazmayin yazma. gondermeyin gonderme. atmayin aramayin iletmeyin gondermeyiniz yazmayiniz "
        "aramayiniz atmayiniz",
        "gone": "rahat_birak rahatsiz_etme mesaj_gelmesin mesaj_atma spam_yapma abonelikten ulasmayin "
        "istemiyorum_mesaj beni_silin beni_cikar",
    },
    "ru": {
        "not": "не. никогда нет. ни. никаких никакой никакую без.",
        "more": "больше. впредь никаких никогда дальше далее",
        "write": "пис пиш присыл шли. шлите слать слал отправ сообщ смс. звон контакт беспоко связ получ получать "
        "приход присыла",
        "ads": "смск сообщ рассыл реклам смс. спам предлож акци уведом промо маркетинг новост рекламн рекламу скидк "
        "предложени оповещ спамить",
        "want": "хоч хотел жел нужн интерес согла просил разреш надо. нуждаюсь",
        "remove": "удал убер убрат исключ сотр стер вычеркн удалите удаление",
        "thing": "номер списк базы. базе. рассыл контакт данн телефон меня. номера телефона базы базу",
        "takeback": "отзыв отозв отмен отказыв отключ откаж",
        "consent": "соглас подписк рассыл разреш обработк",
        "stop": "стоп. хватит прекра перест достал надоел довольно заканчив кончай хорош. перестань завязывай "
        "прекращай завяз кончайте",
        "never": "никогда не.",
        "sign": "подписыв подписал регистр соглаш соглас просил давал оставлял",
        "who": "откуда кто. как.",
        "number": "номер телефон",
        "gone": "отпис отпиш отстан отвал оставьте_меня оставьте_в_покое не_беспокойте. не_беспокой.",
    },
    "ar": {
        "not": "لا لن ما. مش مو بدون عدم متبعت ليس",
        "more": "مره اخرى اخري تاني ثاني بعد. بعد_الان عاد مجددا بعد_اليوم تانيه بقيتو مستقبلا",
        "write": "ارسال ترسل ارسل تراسل تبعث تبعت رسا رسال مراسل تواصل تتواصل اتصال تتصل تكتب استقبال استلام تلقي "
        "يوصلن توصلن يجين ترسلو تبعتو تبعثو بعت",
        "ads": "رسال رسايل رسائل اعلان اعلاني عروض عرض. ترويج تسويق دعاي سبام اشعار مسج ميساج نشره رسايلكم رسائلكم "
        "اعلاناتكم عروضكم خصومات",
        "want": "نبي نبغي اريد ارغب ابي ابغى ابغي بدي عايز عاوز عايزه احب اوافق مهتم ودي اود نريد نرغب ابيها اريدها "
        "بدنا",
        "remove": "احذف حذف امسح مسح شيل ازال ازيل الغ اخرج طلع",
        "thing": "رقمها رقمه قايمه قائمه رقمي رقم. بيانات اسمي جهات_اتصال القايمه القائمه قاعده بياناتي رقمنا سجلات",
        "takeback": "سحب اسحب الغ الغاء تراجع ارفض اعترض",
        "consent": "موافق اذن. تصريح اشتراك تسويق",
        "stop": "كفى كفي كفايه يكفي خلاص بس. وقف وقفوا اوقف توقف بطل بطلو بطلوا زهقت",
        "never": "ما. لم. عمري",
        "sign": "سجلت سجل اشترك طلبت وافقت اعطيت",
        "who": "مين من_وين من_اين منين كيف",
        "number": "رقم",
        "gone": "احذفني احذفوني امسحوني شيلوني شيلني ازيلوني متبعتوش ماتبعتوش لا_تبعتوا لا_تراسل لا_تزعج متكلمونيش "
        "لا_عاد_ترس الغوا_اشتراكي الغي_الاشتراك الغاء_الاشتراك الغي_هذه_الرس",
    },
    "hi": {
        "forbid": "मत. mat.",
        "not": "मत. नहीं नही ना. न. nahi nahin nhi mat. na. nai bilkul_nahi",
        "more": "और. अब. आगे ab. aage aur. kabhi",
        "write": "भेज मैसेज मेसेज संदेश सन्देश लिख कॉल संपर्क bhej message msg mesej contact call. sms whatsapp send "
        "likh आना aana aane भेजना bhejna",
        "ads": "मैसेज मेसेज संदेश सन्देश विज्ञापन ऑफर प्रचार स्पैम सूचना message msg promotion promo offer spam ads. "
        "ad. notification update. updates. marketing sms messages मैसेजेस ads विज्ञापनों प्रमोशन promotions offers "
        "प्रोमोशन",
        "want": "चाहिए चाहता चाहती चाहते chahiye chaiye chahie chahta chahti interest zarurat jarurat",
        "remove": "हटा हटाए निकाल मिटा डिलीट hata hatao hatado nikal delete remove mita",
        "thing": "सूची लिस्ट नंबर नम्बर मुझे डेटा list number naam mujhe num. mera data डाटा",
        "takeback": "वापस रद्द wapas vapas cancel radd withdraw",
        "consent": "सहमति अनुमति सदस्यता सब्सक्रिप्शन permission consent subscription sahmati",
        "stop": "बंद बन्द बस. रोक band. bandh bas. roko rok. stop. kijiye_band",
        "never": "कभी मैंने kabhi maine nahi",
        "sign": "साइन सदस्य subscribe sign join register",
        "who": "किसने कहाँ कहां kisne kahan kaha. kaise",
        "number": "नंबर नम्बर number",
        "gone": "naam_kaat naam_hata naam_nikal mera_naam_kat अनसब्सक्राइब सदस्यता_रद्द परेशान_मत परेशान_न "
        "pareshan_mat pareshan_na tang_mat tang_na",
    },
    "id": {
        "forbid": "jangan jgn jngn gausah gak_usah ga_usah tidak_usah tak_usah",
        "not": "jangan jgn jngn tidak tdk tak. gak ga. gk. nggak ngga enggak ogah usah bukan",
        "more": "lagi. lg. lebih seterusnya selanjutnya kedepannya",
        "write": "kirim hubung chat. wa. sms pesan. pesannya mesej message hantar whatsapp kontak telepon telp "
        "ganggu spam ngirim dikirim kirimin mengirim menghubungi dihubungi",
        "ads": "pesan. pesannya mesej message promo promosi iklan spam sms penawaran broadcast bc. notif newsletter "
        "info. marketing diskon promosinya promonya notifikasi tawaran",
        "want": "mau ingin pengen mahu nak. minat tertarik butuh perlu setuju",
        "remove": "hapus buang padam keluar delete hilangkan singkir dihapus dikeluarkan keluarkan hapuskan dibuang",
        "thing": "nomor nombor nomer no_saya daftar senarai list. data kontak saya. aku. grup broadcast nomornya",
        "takeback": "tarik cabut batal menarik mencabut",
        "consent": "persetujuan izin kebenaran langganan",
        "stop": "stop. berhenti henti cukup udah. sudah_cukup setop hentikan dihentikan stopin",
        "never": "gak_pernah tidak_pernah ga_pernah tak_pernah nggak_pernah belum_pernah",
        "sign": "daftar langganan setuju minta subscribe",
        "who": "dari_mana darimana siapa dapat dapet",
        "number": "nomor nomer nombor number no.",
        "gone": "hapus_aku keluarin_saya keluarin_gue berhenti_langganan berhenti_berlangganan berhenti_dapet "
        "berhenti_dapat berhenti_menerima "
        "keluarkan_saya hapus_saya jangan_ganggu jangan_diganggu",
    },
}
