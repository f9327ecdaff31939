"""The reasons people give when they refuse, by language; written as services/optout_grammar.py is.

None is a refusal alone: the rules of services/optout_rules.py want an end of it, or writing, beside each.
"""

from __future__ import annotations

# wrong: not my number, the person has died; moved: another supplier, no customer any more; nointerest; said and often:
# told you so, how many times; fedup; fromyou; report beside spam.
REASONS: dict[str, dict[str, str]] = {
    "en": {
        "report": "report",
        "spam": "spam",
        "nointerest": "not_interest no_interest uninterest dont_care",
        "wrong": "wrong_number wrong_person not_the_person passed_away deceased died dead. changed_hands belongs_to "
        "private_number",
        "often": "how_many_times how_often hundred_times",
        "fedup": "sick. fed_up tired annoyed annoying pissed_off had_enough had_it done. drown bombarded blowing_up",
        "moved": "not_a_customer not_your_customer not_a_client supplier provider another_company sold_the "
        "closed_the retired no_longer_work no_longer_a no_longer_live moved_away already_bought",
        "fromyou": "from_you from_u from_your from_yall of_yours",
        "said": "i_said i_told told_you told_u asked_you already_asked ive_asked already_told already_said",
    },
    "es": {
        "report": "report denunci",
        "spam": "spam",
        "nointerest": "no_me_interesa no_nos_interesa sin_interes no_estoy_interes",
        "wrong": "equivocad fallec murio numero_privado",
        "often": "cuantas_veces mil_veces por_enesima tercera_vez",
        "fedup": "hasta_las hart cansad canse. hasta_los hasta_la hasta_el pesados que_pesad aburrid pinch maldit",
        "moved": "no_soy_client no_soy_su no_vivo proveedor otra_empresa cerramos vendimos ya_no_soy ya_no_trabaj "
        "ya_no_viv ya_compre",
        "fromyou": "de_ustedes de_uds de_vosotros de_usted de_vds de_su_parte suyo de_vuestra",
        "said": "ya_les_dije ya_le_dije ya_te_dije ya_os_dije he_dicho ya_dije les_dije os_dije ya_pedi les_pedi "
        "he_pedido dicho_que",
    },
    "pt": {
        "report": "denunci report",
        "spam": "spam",
        "nointerest": "nao_tenho_interesse nao_me_interessa sem_interesse nao_estou_interess",
        "wrong": "numero_errado engano falec morreu numero_privado",
        "often": "quantas_vezes mil_vezes terceira_vez",
        "fedup": "que_saco saco_cheio cansad cansei encheu enchendo fart fartei porra caralho merda raio",
        "moved": "nao_sou_client fornecedor outra_empresa vendi_a fechamos ja_nao_sou nao_sou_mais nao_trabalho_mais "
        "ja_comprei",
        "fromyou": "de_voces de_voce de_vcs de_vc vosso vossas da_vossa",
        "said": "ja_falei ja_disse ja_pedi eu_disse ja_avisei ja_solicitei falei_que disse_que",
    },
    "fr": {
        "report": "signal",
        "spam": "spam",
        "nointerest": "pas_interess aucun_interet",
        "wrong": "mauvais_numero erreur_de decede deced mort. numero_prive",
        "often": "combien_de_fois mille_fois troisieme_fois",
        "fedup": "saoul soul gonfl cass marre assez emmerd ras_le fatigu agac enerv chier insupport",
        "moved": "pas_client fournisseur prestataire autre_societe vendu_l ferme_l ne_suis_plus plus_client "
        "deja_achete",
        "fromyou": "de_vous de_votre_part de_toi de_chez_vous",
        "said": "j_ai_dit jai_dit jai_deja j_ai_deja vous_ai_dit ai_deja_dit ai_deja_demand",
    },
    "de": {
        "report": "melde gemeldet",
        "spam": "spam",
        "nointerest": "kein_interesse nicht_interess keine_interesse",
        "wrong": "falsche_nummer verstorben gestorben tot. privatnummer private_nummer",
        "often": "wie_oft tausendmal zum_letzten_mal wie_viele_male",
        "fedup": "nervt nerven nervig genervt geht_mir_auf gehen_mir_auf kein_bock keinen_bock satt leid. kotzt "
        "schnauze verdammt",
        "moved": "lieferant anbieter andere_firma verkauft. aufgegeben kein_kunde keine_kundin nicht_mehr_kunde "
        "bereits_gekauft",
        "fromyou": "von_euch von_ihnen von_dir von_eurer von_ihrer",
        "said": "hab_gesagt habe_gesagt schon_gesagt bereits_gesagt hab_schon habe_schon habe_bereits sagte_doch "
        "gesagt. gebeten.",
    },
    "it": {
        "report": "segnal",
        "spam": "spam",
        "nointerest": "non_mi_interess non_ci_interess non_sono_interess nessun_interesse",
        "wrong": "sbagliato morta. morto. decedut mancata numero_privato",
        "often": "quante_volte mille_volte terza_volta",
        "fedup": "stuf rotto scocciat stanc nauseat esasperat palle cavolo",
        "moved": "non_sono_client non_abito fornitore altra_azienda venduto chiuso_l non_sono_piu gia_comprato",
        "fromyou": "da_voi da_te da_lei da_parte_vostra di_vostro",
        "said": "ho_detto gia_detto vi_ho_detto ho_gia_chiest ho_gia_scritt ho_gia_dett",
    },
    "nl": {
        "report": "meld. gemeld",
        "spam": "spam",
        "nointerest": "geen_interesse niet_geinter geen_belangst",
        "wrong": "verkeerd overleden prive",
        "often": "hoe_vaak hoeveel_keer honderd_keer duizend_keer",
        "fedup": "zat. beu. moe. gek_van irritant vervelend kotsmis ziek_van klaar_met schijtziek doodmoe",
        "moved": "leverancier aanbieder ander_bedrijf verkocht gestopt_met geen_klant al_gekocht",
        "fromyou": "van_jullie van_u. van_je. van_jou",
        "said": "heb_gezegd al_gezegd heb_al zei_toch al_gevraagd",
    },
    "pl": {
        "report": "zglasz zglosz",
        "spam": "spam",
        "nointerest": "nie_interes nie_jestem_zainter mnie_to_nie_interes brak_zainter",
        "wrong": "pomylk zly_numer nie_zyje zmarl prywatny",
        "often": "ile_razy sto_razy trzeci_raz",
        "fedup": "dosc dosyc wkurz denerw meczace zmeczon wnerw irytuj cholery upierdliw",
        "moved": "nie_jestem_wasz dostawc inna_firm sprzedal zamknel nie_jestem_juz nie_jestem_klient juz_kupil",
        "fromyou": "od_was od_ciebie od_panstwa od_pana",
        "said": "mowilem mowilam prosilem prosilam powiedzial juz_pisal",
    },
    "tr": {
        "report": "sikayet",
        "spam": "spam",
        "nointerest": "ilgilenmiyor istemiyorum",
        "wrong": "yanlis vefat ozel_numara",
        "often": "kac_kere kac_kez kac_defa bin_kere yuz_kere",
        "fedup": "bikt usand gina sikild bunald biktir illallah kafayi cildir",
        "moved": "tedarik baska_firma sattik kapattik musteriniz_degil",
        "fromyou": "sizden senden tarafinizdan",
        "said": "demistim dedim soyledim soylemistim soyluyorum",
    },
    "ru": {
        "report": "жалу пожал",
        "spam": "спам",
        "nointerest": "не_интерес неинтерес",
        "wrong": "ошиблись не_тот умер личный",
        "often": "сколько_раз сто_раз тысячу_раз третий_раз",
        "fedup": "надоел достал задолб заколеб задрал запарил сколько_можно устал бесит бесят заебал",
        "moved": "не_клиент поставщик другую_компан другой_компан продали закрыли больше_не_работ не_ваш_клиент "
        "уже_купил",
        "fromyou": "от_вас от_тебя ваше. вашего",
        "said": "сказал говорил просил сказала",
    },
    "ar": {
        "report": "بلغ ببلغ ابلغ",
        "spam": "سبام spam",
        "nointerest": "لا_يهمني غير_مهتم مو_مهتم مش_مهتم ما_يهمني",
        "wrong": "غلط توف مات خاص",
        "often": "كم_مره كام_مره مليون_مره الف_مره",
        "fedup": "زهقت مليت تعبت طفشت ازعجت قرفت قرف صدعت زهقنا مللنا",
        "moved": "المورد مورد شركه_ثانيه شركه_اخري لست_عميل مش_زبون",
        "fromyou": "منكم منك. من_طرفكم من_عندكم",
        "said": "قلت. قلتلكم قلنا قلت_لكم طلبت",
    },
    "hi": {
        "report": "report रिपोर्ट",
        "spam": "spam स्पैम",
        "nointerest": "interest_nahi interested_nahi रुचि_नहीं दिलचस्पी_नहीं",
        "wrong": "galat गलत nahi_rahi nahi_rahe guzar private",
        "often": "kitni_baar कितनी_बार sau_baar सौ_बार kitni_bar",
        "fedup": "tang तंग परेशान pareshan thak थक irritate irritating paka_diya पका_दिया dimag",
        "moved": "supplier सप्लायर vendor company_badal customer_nahi ग्राहक_नहीं",
        "fromyou": "aapse apse tumse आपसे तुमसे aapki aapke",
        "said": "bola. kaha_na बोला कहा_ना कह_चुका keh_chuk bol_diya बोल_दिया",
    },
    "id": {
        "report": "lapor",
        "spam": "spam",
        "nointerest": "tidak_minat tidak_tertarik gak_tertarik ga_tertarik tidak_berminat gak_minat",
        "wrong": "salah_nomor meninggal pribadi",
        "often": "berapa_kali udah_berapa ribuan_kali",
        "fedup": "capek bosan muak risih berisik terganggu jengkel bosen pusing males kesal sebel",
        "moved": "supplier pemasok vendor bukan_pelanggan sudah_tutup pindah_ke sudah_beli",
        "fromyou": "dari_kalian dari_anda dari_kamu dari_mu",
        "said": "sudah_bilang udah_bilang dah_bilang udah_dibilang",
    },
}
