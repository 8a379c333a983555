"""Two short handbooks of our own, with questions and a phrase of the passage that answers each."""

from __future__ import annotations

ENGLISH = """# Harbour House: a guide for guests

The front door is opened with the blue key. Turn it twice to the left and lean on the handle, for
the frame swells in wet weather. The spare hangs inside the meter box, behind the gas pipe.

Breakfast is served from half past seven until ten in the glass room. Tell the cook the evening
before if you do not eat eggs or nuts. On Sundays there are waffles, and the line is long before
nine.

The boiler in the cellar is old. When the water stays cold, press the red button below the gauge
for five seconds and wait until the flame can be heard. Never open the valve with the yellow tag.

Bicycles stand in the shed behind the plum tree. Each has a number, and the lock with the same
number hangs on the board. Pump the tyres before you leave; the path along the dike is full of
thorns.

The ferry to the island leaves from pier four. It goes at eight, at noon and at five, and in
winter not at all when the wind is above force seven. Tickets are sold on board, in coins only.

Dogs are welcome in the garden rooms, but not on the stairs or in the glass room. Please bring a
blanket for them, and wash their feet at the pump after a walk on the mud flats.

The library on the second floor closes at ten in the evening. Borrowed books are written in the
green ledger. The encyclopaedia stays where it is, because its spine is held together by hope.

In case of fire walk down the outer staircase, not the inner one, and meet at the bell in the
orchard. The extinguishers were filled in March and hang beside every second door.

The internet comes by radio from the lighthouse. The password is painted on the back of the clock
in the hall. When fog rolls in, the connection is slow, and nobody can do anything about it.

Bed linen is changed every third day. If you want to spare the sea some soap, hang the wooden fish
on your door, and we shall leave the sheets as they are.

Leaving guests put the key into the brass letter box before eleven. A taxi to the station takes
half an hour and is ordered from the kitchen; in summer order it a day ahead.

The garden's tomatoes are free to pick. The mushrooms under the birches are not for eating: two of
the five kinds that grow there are poisonous, and they resemble the good ones.
"""

ENGLISH_QUESTIONS = (
    ("How do I get hot water back?", "press the red button"),
    ("When does the boat to the island go?", "leaves from pier four"),
    ("Where can I find the wifi password?", "back of the clock"),
    ("May I bring my dog?", "Dogs are welcome"),
    ("Can the mushrooms be eaten?", "poisonous"),
    ("Where do we gather when there is a fire?", "extinguishers"),
    ("How late can I read in the library?", "closes at ten"),
    ("At what time do I have to check out?", "before eleven"),
)

CHINESE = """港湾小屋住客手册

大门用蓝色的钥匙打开。向左转两圈，再推门把手，因为下雨天门框会发胀。备用钥匙挂在电表箱里面。

早餐从七点半到十点在玻璃房供应。如果您不吃鸡蛋或者坚果，请在前一天晚上告诉厨师。星期天有华夫饼，九点以前排队很长。

地下室的锅炉已经很旧了。热水不来的时候，按住压力表下面的红色按钮五秒钟，等到听见火焰的声音为止。千万不要打开挂着黄色牌子的阀门。

自行车停在李子树后面的棚子里。每辆车都有编号，同样编号的锁挂在木板上。出发之前请给轮胎打气，堤坝上的小路有很多刺。

去小岛的渡船从四号码头出发，每天八点、十二点和十七点各一班。冬天风力超过七级的时候停航。船票在船上买，只收硬币。

花园房间欢迎带狗的客人，但是狗不能上楼梯，也不能进玻璃房。请给它们带一条毯子。

二楼的图书室晚上十点关门。借走的书要写在绿色的登记本上，百科全书不外借。

发生火灾时请走外面的楼梯，在果园的大钟旁边集合。灭火器挂在每隔一扇门的旁边。

无线网络是从灯塔发过来的，密码写在大厅时钟的背面。起雾的时候网速很慢，谁也没有办法。

床单每三天换一次。如果想节约用水，请把木头小鱼挂在门上。

退房的客人请在十一点以前把钥匙放进铜信箱。去车站的出租车要半个小时，夏天要提前一天预订。

花园里的番茄可以随便摘。白桦树下的蘑菇不能吃，那里的五种蘑菇里有两种有毒。
"""

CHINESE_QUESTIONS = (
    ("没有热水怎么办？", "红色按钮"),
    ("去岛上的船几点开？", "四号码头"),
    ("无线密码在哪里？", "时钟的背面"),
    ("可以带狗吗？", "带狗的客人"),
    ("蘑菇能不能吃？", "有毒"),
    ("着火了去哪里集合？", "大钟旁边"),
    ("图书室几点关门？", "十点关门"),
    ("几点以前要退房？", "铜信箱"),
)
