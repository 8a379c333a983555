"""Which sentences are kept: tables of what goes in and what stays out."""

from __future__ import annotations

import pytest

from memoryscope_rag.statements import Turn, appraise, read


def kept(*turns: str, speaker: str = "u") -> list[str]:
    """The statements of the last of the turns, all of one speaker."""
    return [s.text for s in read([Turn(text, speaker) for text in turns])[-1].statements]


IN = """
I work as a nurse at St Mary's in Bristol.
My sister Ann moved to Rome.
I'm allergic to peanuts.
We adopted a puppy last week.
My birthday is on 7 May.
I bought a blue Peugeot yesterday.
I don't eat meat any more.
My favourite film is Paddington 2.
I'm flying to Oslo on 12 June.
My dad had surgery on his knee.
I play the viola in the town orchestra.
My boss Omar lives in Cairo.
I was born in Trieste in 1931.
I have a dentist appointment on Friday.
I've been training for a marathon since March.
I can't stand cilantro.
I prefer tea to coffee.
We're getting married in September.
Every Tuesday I teach chess to children.
I speak German and a little Czech.
My phone number is 030 1234567.
Please remember that the spare key is under the blue pot.
I sold my car to a student.
I'm writing a novel about a detective in Prague.
My cat Ziggy is eleven years old.
我在阿里巴巴上班。
我姐姐搬到罗马了。
我对花生过敏。
我们上周领养了一只小狗。
我的生日是五月七号。
我昨天买了一辆蓝色的自行车。
我不再吃肉了。
我最喜欢的电影是《花样年华》。
我六月十二号飞昆明。
我爸爸做了膝盖手术。
我在市里的乐团拉中提琴。
我上司住在杭州西湖区。
我1990年出生在宁波。
我周五约了牙医。
我受不了香菜的味道。
我打算明年去云南旅游。
我每周二教孩子们下围棋。
我会说德语，也会一点捷克语。
我的手机号是13800001234。
请记住，备用钥匙在蓝色花盆下面。
我把车卖给了一个学生。
我奶奶今年八十六岁了。
我老公叫陈立。
""".strip().splitlines()

OUT = """
How are you today?
Where did you buy that coat?
Hi Ann, good to see you!
Thanks so much, that means a lot.
Sounds great!
That's awesome!
Exactly, I agree with you.
You did a great job yesterday.
Good luck with the exam!
If I were rich, I would buy an island near Greece.
What if I moved to Mars next year?
Imagine being a pirate for a day.
I wish I had a house by the sea.
In my novel, the detective lives in a cellar in Prague.
My character is a level 12 elf who lost her sword.
Once upon a time there was a king in Bohemia.
Write me an email to my landlord.
Can you recommend a hotel in Lisbon?
Please translate this letter into French.
I need some tips for a job interview.
Haha, wow.
I hope you feel better soon.
Let me know how it goes.
I don't know.
The weather is nice.
Paris is the capital of France.
for (let i = 0; i < 10; i++) {
I can't wait to hear all about it!
你今天好吗？
你那件外套在哪里买的？
你好，很高兴见到你！
谢谢你，太感谢了。
太好了！
对，我也觉得。
你昨天做得很好。
祝你考试顺利！
如果我有钱，我就在希腊买一座岛。
假如我明年搬到火星呢。
想象一下当一天海盗。
在我的小说里，侦探住在布拉格的地下室。
我的角色是一个丢了剑的精灵。
从前有一个国王住在山里。
帮我写一封邮件给房东。
能推荐一家里斯本的酒店吗？
请把这封信翻译成法语。
哈哈，哇。
我不知道。
今天天气真好。
巴黎是法国的首都。
""".strip().splitlines()


@pytest.mark.parametrize("text", IN)
def test_kept(text: str) -> None:
    assert kept(text), appraise(text)


@pytest.mark.parametrize("text", OUT)
def test_left_out(text: str) -> None:
    assert kept(text) == [], appraise(text)
