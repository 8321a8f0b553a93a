"""What records and messages look like, as bytes that packing may refer to (`sync.packing`).

A sale of four invented products with its request and its answer, the other records, and one message
of every kind without its keys and hashes. Whatever was packed with it can be read with these very
bytes alone: they never change. A better dictionary is another one, with the next number.
"""

from typing import Final

DICTIONARY_1: Final = (  # SHA-256 abf5b4f934d0e290...
    b',"amount_missing","applied","code_missing","code_used","condition_not_met","distinct_missing'
    b'","limit_used","lines_discounted","lines_excluded","lost_to","no_allowance","not_birthday","'
    b'not_identified","not_in_segment","not_in_tier","not_personal","not_this_hour","not_this_purc'
    b'hase","not_today","nothing_to_give","part_missing","price_floor","quantity_missing","receipt'
    b'_limit","stamps_missing","tender_missing"{"kind":"open","at_ms":1795000000000,"incarnation_n'
    b'umber":2,"reason":"amnesia","previous_incarnation":"","previous_head":""}{"kind":"void","at_'
    b'ms":1795000000000,"key":"01900000-0000-7000-8000-000000000000","why":"cancelled at the till"'
    b'}{"kind":"refund","at_ms":1795000000000,"key":"01900000-0000-7000-8000-000000000000","origin'
    b'al_key":"01900000-0000-7000-8000-000000000000","lines":[{"line_id":"001","quantity":1000}],"'
    b'moment":{"local":"2026-01-01T12:00:00","uncertainty_s":0},"place":{"store":"store-1","region'
    b'":"","banner":"","till":"","channel":"till"},"calculation":{"charged_back_minor":0,"complete'
    b's":true,"counted_back":[],"money_back_minor":0,"points_back":0,"points_taken":0}}{"kind":"gr'
    b'ant_in","at_ms":1795000000000,"grant_id":"01900000-0000-7000-8000-000000000000"}{"kind":"gra'
    b'nt_return","at_ms":1795000000000,"grant_id":"01900000-0000-7000-8000-000000000000","points":'
    b'100,"why":"recalled","lots":[{"lot_id":1,"points":100}]}"redeemed":[{"lot_id":1001,"points":'
    b'100,"minor":100}],"right":{"points":100,"lots":[{"lot_id":1001,"points":100,"expires_on":"20'
    b'27-01-01","restriction":""}]},"sources":[{"kind":"grant","points":100,"grant_id":"01900000-0'
    b'000-7000-8000-000000000000","lots":[{"lot_id":1001,"points":100}]}],"link_up":true,"clock_q"'
    b':"suspect"}"counters":{"offer:offer-2":1},"last_used":{"offer:offer-2":"2026-01-01T12:00:00 '
    b'store store-1"},"segments":["segment-1"],"tier":"gold","personal_offers":["offer-3"]{"outcom'
    b'e":"recorded","receipt_id":"01900000-0000-7000-8000-000000000000","version":1,"calculation":'
    b'{"bundle":"0000000000000000000000000000000000000000000000000000000000000000","rounding":"hal'
    b'f-up/largest-remainder/1","account_id":1001,"moment":"2026-01-01T12:00:00","store":"store-1"'
    b',"lines":[{"line_id":"001","sku":"1000003","quantity":1000,"gross_minor":359,"discount_minor'
    b'":109,"redeemed_minor":0,"redeemed_points":0,"paid_minor":250,"earned_points":3,"effects":[{'
    b'"offer_id":"offer-2","discount_minor":109,"points":0},{"offer_id":"points-1","discount_minor'
    b'":0,"points":3}],"by_weight":false},{"line_id":"002","sku":"1000004","quantity":1000,"gross_'
    b'minor":229,"discount_minor":62,"redeemed_minor":0,"redeemed_points":0,"paid_minor":167,"earn'
    b'ed_points":4,"effects":[{"offer_id":"offer-2","discount_minor":62,"points":0},{"offer_id":"p'
    b'oints-1","discount_minor":0,"points":2},{"offer_id":"points-private-label","discount_minor":'
    b'0,"points":2}],"by_weight":false},{"line_id":"003","sku":"1000001","quantity":533,"gross_min'
    b'or":533,"discount_minor":0,"redeemed_minor":0,"redeemed_points":0,"paid_minor":533,"earned_p'
    b'oints":5,"effects":[{"offer_id":"points-1","discount_minor":0,"points":5}],"by_weight":true}'
    b',{"line_id":"004","sku":"1000002","quantity":1000,"gross_minor":359,"discount_minor":109,"re'
    b'deemed_minor":0,"redeemed_points":0,"paid_minor":250,"earned_points":2,"effects":[{"offer_id'
    b'":"offer-2","discount_minor":109,"points":0},{"offer_id":"points-1","discount_minor":0,"poin'
    b'ts":2}],"by_weight":false}],"totals":{"gross_minor":1480,"discount_minor":280,"redeemed_mino'
    b'r":0,"redeemed_points":0,"paid_minor":1200,"earned_points":14},"earned":[{"offer_id":"points'
    b'-1","points":12,"name":"regular","active_from":"2026-01-01","expires_on":"2027-01-01","restr'
    b'iction":""},{"offer_id":"points-private-label","points":2,"name":"regular","active_from":"20'
    b'26-01-01","expires_on":"2027-01-01","restriction":""}],"redeemed":[],"redeemable_points_max"'
    b':600,"redemption_proven":true,"hand_outs":[],"counted":[],"conditions":[],"unit_rules":[],"r'
    b'easons":[{"offer_id":"offer-2","code":"applied","figures":{"discount_minor":280}},{"offer_id'
    b'":"points-1","code":"applied","figures":{"points":12}},{"offer_id":"points-private-label","c'
    b'ode":"applied","figures":{"points":2}}],"hints":[],"proven":true,"gap_minor":0,"terms":{"poi'
    b'nt_value_minor":1,"point_value_points":1,"mode":"discount","returns":{"earned":"unlimited","'
    b'grace_days":14,"broken_condition":"keep"}}},"fiscal_lines":[{"line_id":"001","source_line_id'
    b'":"001","quantity":1000,"unit_price_minor":250,"amount_minor":250},{"line_id":"002","source_'
    b'line_id":"002","quantity":1000,"unit_price_minor":167,"amount_minor":167},{"line_id":"003","'
    b'source_line_id":"003","quantity":533,"unit_price_minor":1000,"amount_minor":533},{"line_id":'
    b'"004","source_line_id":"004","quantity":1000,"unit_price_minor":250,"amount_minor":250}],"cu'
    b'stomer":{"known":true,"masked_name":"","tier":"silver","points":1622,"blocked":false},"recei'
    b'pt_code":"TSR1:"}{"version":1,"moment":"2026-01-01T12:00:00","lines":[{"line_id":"001","sku"'
    b':"1000003","quantity":1000,"gross_minor":359,"by_weight":false,"pos_reduced":false,"gtin":""'
    b',"department":"","category":"","brand":"","attributes":{}},{"line_id":"002","sku":"1000004",'
    b'"quantity":1000,"gross_minor":229,"by_weight":false,"pos_reduced":false,"gtin":"","departmen'
    b't":"","category":"","brand":"","attributes":{}},{"line_id":"003","sku":"1000001","quantity":'
    b'533,"gross_minor":533,"by_weight":true,"pos_reduced":false,"gtin":"","department":"","catego'
    b'ry":"","brand":"","attributes":{}},{"line_id":"004","sku":"1000002","quantity":1000,"gross_m'
    b'inor":359,"by_weight":false,"pos_reduced":false,"gtin":"","department":"","category":"","bra'
    b'nd":"","attributes":{}}],"codes":[],"card":"00000000000000000000000000000000","tender":"","t'
    b'raining":false,"paid_minor":1200}{"kind":"sale","at_ms":1795000000000,"key":"01900000-0000-7'
    b'000-8000-000000000000","version":1,"inputs":{"bundle":"0000000000000000000000000000000000000'
    b'000000000000000000000000000","basket":{"lines":[{"line_id":"001","sku":"1000003","quantity":'
    b'1000,"gross_minor":359,"by_weight":false,"pos_reduced":false,"gtin":"","department":"","cate'
    b'gory":"","brand":"","attributes":{}},{"line_id":"002","sku":"1000004","quantity":1000,"gross'
    b'_minor":229,"by_weight":false,"pos_reduced":false,"gtin":"","department":"","category":"","b'
    b'rand":"","attributes":{}},{"line_id":"003","sku":"1000001","quantity":533,"gross_minor":533,'
    b'"by_weight":true,"pos_reduced":false,"gtin":"","department":"","category":"","brand":"","att'
    b'ributes":{}},{"line_id":"004","sku":"1000002","quantity":1000,"gross_minor":359,"by_weight":'
    b'false,"pos_reduced":false,"gtin":"","department":"","category":"","brand":"","attributes":{}'
    b'}],"codes":[],"tender":""},"moment":{"local":"2026-01-01T12:00:00","uncertainty_s":0},"place'
    b'":{"store":"store-1","region":"","banner":"","till":"","channel":"till"},"account":{"identif'
    b'ied":true,"account_id":1001,"tier":"silver","segments":["campaign-8","campaign-13","campaign'
    b'-18","campaign-21","campaign-23"],"points":1622,"in_birthday_window":false,"personal_offers"'
    b':[],"purchases":2,"counters":{},"last_used":{},"version":1},"request":{"points":0,"as_many_a'
    b's_possible":true},"right":{"points":0,"lots":[]}},"calculation":{"account_id":1001,"bundle":'
    b'"0000000000000000000000000000000000000000000000000000000000000000","conditions":[],"counted"'
    b':[],"earned":[{"active_from":"2026-01-01","expires_on":"2027-01-01","name":"regular","offer_'
    b'id":"points-1","points":12,"restriction":""},{"active_from":"2026-01-01","expires_on":"2027-'
    b'01-01","name":"regular","offer_id":"points-private-label","points":2,"restriction":""}],"gap'
    b'_minor":0,"hand_outs":[],"hints":[],"lines":[{"by_weight":false,"discount_minor":109,"earned'
    b'_points":3,"effects":[{"discount_minor":109,"offer_id":"offer-2","points":0},{"discount_mino'
    b'r":0,"offer_id":"points-1","points":3}],"gross_minor":359,"line_id":"001","paid_minor":250,"'
    b'quantity":1000,"redeemed_minor":0,"redeemed_points":0,"sku":"1000003"},{"by_weight":false,"d'
    b'iscount_minor":62,"earned_points":4,"effects":[{"discount_minor":62,"offer_id":"offer-2","po'
    b'ints":0},{"discount_minor":0,"offer_id":"points-1","points":2},{"discount_minor":0,"offer_id'
    b'":"points-private-label","points":2}],"gross_minor":229,"line_id":"002","paid_minor":167,"qu'
    b'antity":1000,"redeemed_minor":0,"redeemed_points":0,"sku":"1000004"},{"by_weight":true,"disc'
    b'ount_minor":0,"earned_points":5,"effects":[{"discount_minor":0,"offer_id":"points-1","points'
    b'":5}],"gross_minor":533,"line_id":"003","paid_minor":533,"quantity":533,"redeemed_minor":0,"'
    b'redeemed_points":0,"sku":"1000001"},{"by_weight":false,"discount_minor":109,"earned_points":'
    b'2,"effects":[{"discount_minor":109,"offer_id":"offer-2","points":0},{"discount_minor":0,"off'
    b'er_id":"points-1","points":2}],"gross_minor":359,"line_id":"004","paid_minor":250,"quantity"'
    b':1000,"redeemed_minor":0,"redeemed_points":0,"sku":"1000002"}],"moment":"2026-01-01T12:00:00'
    b'","proven":true,"reasons":[{"code":"applied","figures":{"discount_minor":280},"offer_id":"of'
    b'fer-2"},{"code":"applied","figures":{"points":12},"offer_id":"points-1"},{"code":"applied","'
    b'figures":{"points":2},"offer_id":"points-private-label"}],"redeemable_points_max":600,"redee'
    b'med":[],"redemption_proven":true,"rounding":"half-up/largest-remainder/1","store":"store-1",'
    b'"terms":{"mode":"discount","point_value_minor":1,"point_value_points":1,"returns":{"broken_c'
    b'ondition":"keep","earned":"unlimited","grace_days":14}},"totals":{"discount_minor":280,"earn'
    b'ed_points":14,"gross_minor":1480,"paid_minor":1200,"redeemed_minor":0,"redeemed_points":0},"'
    b'unit_rules":[]},"card":"00000000000000000000000000000000"}\x86\xa7till_id\x11\xa5place\x85'
    b"\xa5store\xa7store-1\xa6region\xa5north\xa6banner\xa5green\xa4till\xa217\xa7channel\xa5kiosk"
    b"\xa8card_key\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xaacentre_key\xc4\x08\x00\x00\x00\x00"
    b"\x00\x00\x00\x00\xa9rule_keys\x91\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xaeserver_time_ms"
    b"\xcf\x00\x00\x01\x95f-N\x00\x84\xa7version\xb04c1f0d2e3b5a6978\xa5store\xa7store-1\xa8bus_ke"
    b"ys\x91\x82\xa6number\x02\xa6secret\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xa5tills\x91\x84"
    b"\xa7till_id\x11\xaapublic_key\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xabbus_address\xae10.0"
    b".0.17:7117\xa5vault\xc3\x82\xa4sums\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xa9bytes_max\xce"
    b"\x00\x04\x00\x00\x84\xa3key\xd9$01957e3c-9a40-7c11-8d22-3e4f5a6b7c8d\xaaaccount_id\x07\xa6po"
    b"intsx\xabincarnation\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\x82\xaeauthorisations\x91\x8b"
    b"\xa8grant_id\xd9$01957e3c-9b00-7fed-8cba-554433221100\xa7purpose\xadauthorisation\xaaaccount"
    b"_id\x07\xa7till_id\x11\xabincarnation\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xa7session\xc4"
    b"\x08\x00\x00\x00\x00\x00\x00\x00\x00\xa6pointsx\xa4lots\x91\x84\xa6lot_id\xcd\x01\xf5\xa6poi"
    b"ntsx\xaaexpires_on\xaa2026-03-01\xabrestriction\xa5dairy\xacnot_after_ms\xcf\x00\x00\x01\x95"
    b"\xaeFV\x00\xa8sale_key\xd9$01957e3c-9a40-7c11-8d22-3e4f5a6b7c8d\xa9signature\xc4\x08\x00\x00"
    b"\x00\x00\x00\x00\x00\x00\xb5held_elsewhere_points\xcd\x01|\x83\xa3key\xd9$01957e3c-9a40-7c11"
    b"-8d22-3e4f5a6b7c8d\xa4date\xaa2025-03-06\xa4code\xa8TSR1:*90\x84\xabcalculation\xc4\x08\x00"
    b"\x00\x00\x00\x00\x00\x00\x00\xa7returns\x91\x83\xa3key\xd9$01957e40-11f0-7a02-9b13-0c1d2e3f4"
    b"a5b\xa5items\x91\x82\xa7line_id\xa12\xa8quantity\xcd\x04\xd2\xb2charged_back_minor\x19\xb0av"
    b"ailable_points\xcd\x04\xe2\xa4code\xa7genuine\xde\x00\x11\xabincarnation\xc4\x08\x00\x00\x00"
    b"\x00\x00\x00\x00\x00\xb2incarnation_number\x03\xa3seq\x06\xa4head\xc4\x08\x00\x00\x00\x00"
    b"\x00\x00\x00\x00\xa9acked_seq\x02\xaaacked_hash\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xa8c"
    b"lock_ms\xcf\x00\x00\x01\x95f-N\x00\xa6bundle\xa85f5f5f5f\xa8software\xa50.1.0\xb0receipts_wa"
    b"iting\x04\xafdisk_free_bytes\xcf\x00\x00\x00\x05\x00\x00\x00\x00\xadrights_points\xcd\x02l"
    b"\xb0risk_left_points\xcd\x01\xd6\xabbus_address\xae10.0.0.17:7117\xa9asks_made\xcd\x018\xa9a"
    b"sks_open\x91\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xaafeed_epoch\x02\x8b\xa7verdict\xa6rew"
    b"ind\xa8verified\xc3\xa7session\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xa8last_seq\x01\xa9la"
    b"st_hash\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xabdurable_seq\x01\xaeserver_time_ms\xcf\x00"
    b"\x00\x01\x95f-NP\xb6incarnation_number_min\x04\xb1risk_points_total\xcd\x01\xf4\xa8seen_seq"
    b"\x07\xb2offline_points_max\xcdN \x81\xa4card\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\x82\xa7"
    b"account\x86\xa4card\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xa8snapshot\x8b\xaaidentified"
    b"\xc3\xaaaccount_id\x07\xa4tier\xa4gold\xa8segments\x91\xa6family\xa6points\xcd\x04\xe2\xb2in"
    b"_birthday_window\xc3\xafpersonal_offers\x91\xa8spring-7\xa9purchases\x1f\xa8counters\x82\xad"
    b"stamps:coffee\x04\xb4uses:welcome@2025-03\x02\xa9last_used\x81\xb4uses:welcome@2025-03\xd9!2"
    b"025-03-02T18:30:05 store store-2\xa7version,\xa7blocked\xc3\xabmasked_name\xa7A*** K.\xa6poi"
    b"nts\xcd\x04\xe2\xabheld_points\xcd\x01\xf4\xa7applied\x91\x83\xabincarnation\xc4\x08\x00\x00"
    b"\x00\x00\x00\x00\x00\x00\xa7through\x05\xa7waiting\x91\x03\x85\xa7verdict\xa3ack\xa8last_seq"
    b"\x04\xa9last_hash\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xabdurable_seq\x04\xb6incarnation_"
    b"number_min\x04\x86\xabincarnation\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xa6cursor\x83\xa5e"
    b"poch\x01\xabtransaction\xce\x00\x01\x11{\xa3row\xce\x00\x0e\x03\x01\xa6bundle\xa85f5f5f5f"
    b"\xa9bytes_max\xce\x00\x04\x00\x00\xa3seq\x06\xa6roster\xb04c1f0d2e3b5a6978\x8b\xa6cursor\x83"
    b"\xa5epoch\x01\xabtransaction\xce\x00\x01\x11\x84\xa3row\xce\x00\x0e\x03\x1c\xafapplied_throu"
    b"gh\x02\xa4more\xc3\xa8accounts\x91\x86\xa4card\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xa8sn"
    b"apshot\x8b\xaaidentified\xc3\xaaaccount_id\x07\xa4tier\xa4gold\xa8segments\x91\xa6family\xa6"
    b"points\xcd\x04\xe2\xb2in_birthday_window\xc3\xafpersonal_offers\x91\xa8spring-7\xa9purchases"
    b"\x1f\xa8counters\x82\xadstamps:coffee\x04\xb4uses:welcome@2025-03\x02\xa9last_used\x81\xb4us"
    b"es:welcome@2025-03\xd9!2025-03-02T18:30:05 store store-2\xa7version,\xa7blocked\xc3\xabmaske"
    b"d_name\xa7A*** K.\xa6points\xcd\x04\xe2\xabheld_points\xcd\x01\xf4\xa6grants\x91\x8b\xa8gran"
    b"t_id\xd9$01957e3c-9b00-7fed-8cba-554433221100\xa7purpose\xadauthorisation\xaaaccount_id\x07"
    b"\xa7till_id\x11\xabincarnation\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xa7session\xc4\x08"
    b"\x00\x00\x00\x00\x00\x00\x00\x00\xa6pointsx\xa4lots\x91\x84\xa6lot_id\xcd\x01\xf5\xa6pointsx"
    b"\xaaexpires_on\xaa2026-03-01\xabrestriction\xa5dairy\xacnot_after_ms\xcf\x00\x00\x01\x95\xae"
    b"FV\x00\xa8sale_key\xd9$01957e3c-9a40-7c11-8d22-3e4f5a6b7c8d\xa9signature\xc4\x08\x00\x00\x00"
    b"\x00\x00\x00\x00\x00\xa7recalls\x91\xd9$01957e00-0000-7abc-8def-001122334455\xa8outcomes\x91"
    b"\x85\xa3seq\x02\xabincarnation\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xa7outcome\xa8adjuste"
    b"d\xa6reason\xb7blocked before the sale\xa6points\xf7\xa8manifest\x86\xa6bundle\xa85f5f5f5f"
    b"\xa7version\x0c\xaasize_bytes\xcd\xbcg\xabactivate_at\xb32025-03-06T00:00:00\xa6chunks\x91"
    b"\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xa9signature\xc4\x08\x00\x00\x00\x00\x00\x00\x00"
    b"\x00\xa7applied\x91\x83\xabincarnation\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xa7through"
    b"\x05\xa7waiting\x91\x03\xa6roster\x84\xa7version\xb04c1f0d2e3b5a6978\xa5store\xa7store-1\xa8"
    b"bus_keys\x91\x82\xa6number\x02\xa6secret\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xa5tills"
    b"\x91\x84\xa7till_id\x11\xaapublic_key\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00\xabbus_address"
    b"\xae10.0.0.17:7117\xa5vault\xc3\xa7compare\xc3\x84\xabincarnation\xc4\x08\x00\x00\x00\x00"
    b"\x00\x00\x00\x00\xa8from_seq\x03\xadprevious_hash\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00"
    b"\xa7records\x91\xc4\x08\x00\x00\x00\x00\x00\x00\x00\x00"
)
