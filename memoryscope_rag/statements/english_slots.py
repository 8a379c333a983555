"""English: whom a clause is about and which attribute it tells."""

from __future__ import annotations

import re

from memoryscope_rag.statements.language import Pattern, SlotRule


def pattern(text: str) -> Pattern:
    """A pattern in which case does not matter, but in ``(?-i:...)``."""
    return re.compile(text, re.IGNORECASE)


def words(text: str) -> frozenset[str]:
    """The words of a list."""
    return frozenset(text.split())


RELATIONS = {
    **{name: name for name in words(
        "mother father parents sister brother siblings wife husband partner girlfriend boyfriend "
        "son daughter children grandmother grandfather grandparents granddaughter grandson aunt "
        "uncle cousin niece nephew friend roommate neighbour boss manager colleague assistant "
        "teacher coach mentor doctor therapist dentist landlord tenant client family team band "
        "dog cat puppy kitten rabbit parrot horse hamster stepmother stepfather stepson twins "
        "stepdaughter godmother godfather goddaughter godson ex supervisor tutor nanny baby"
    )},
    "mom": "mother", "mum": "mother", "mommy": "mother", "mama": "mother", "mam": "mother",
    "dad": "father", "daddy": "father", "papa": "father", "folks": "parents", "hubby": "husband",
    "grandma": "grandmother", "granny": "grandmother", "nana": "grandmother",
    "gran": "grandmother", "grandpa": "grandfather", "granddad": "grandfather",
    "kids": "children", "kid": "children", "child": "children", "sons": "children",
    "daughters": "children", "fiance": "partner", "fiancé": "partner", "fiancee": "partner",
    "fiancée": "partner", "spouse": "partner", "buddy": "friend", "pal": "friend",
    "mate": "friend", "bestie": "friend", "friends": "friend", "flatmate": "roommate",
    "roommates": "roommate", "flatmates": "roommate", "housemate": "roommate",
    "neighbor": "neighbour", "coworker": "colleague", "co-worker": "colleague",
    "colleagues": "colleague", "pup": "dog", "doggo": "dog", "dogs": "dog", "cats": "cat",
    "kitty": "cat", "in-laws": "in-laws", "mother-in-law": "mother-in-law",
    "father-in-law": "father-in-law", "sister-in-law": "sister-in-law",
    "brother-in-law": "brother-in-law", "girlfriend's": "girlfriend",
}  # fmt: skip
RELATION = "|".join(sorted(map(re.escape, RELATIONS), key=len, reverse=True))
NAME = r"(?-i:[A-Z][a-z'’]+(?:[ -][A-Z][a-z]+)?)"
NO_NAME = (
    r"(?!(?:The|This|That|These|Those|There|They|It|He|She|We|You|What|When|Where|Why|How|Who|If"
    r"|And|But|So|Or|Then|Also|Just|Now|Last|Next|My|Our|Your|His|Her|Their|Its|In|On|At|For|From"
    r"|With|After|Before|Since|While|As|Not|No|Yes|Yeah|Hey|Hi|Hello|Wow|Thanks|Thank|Sorry|Let"
    r"|Some|Any|Every|Each|All|Most|Many|One|Two|Both|Here|Even|Still|Maybe|Perhaps|Today"
    r"|Tomorrow|Yesterday|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday|January"
    r"|February|March|April|May|June|July|August|September|October|November|December|Having|Being"
    r"|Can|Could|Would|Should|Will|Do|Did|Does|Is|Are|Was|Were|Has|Have|Had|Life|Music|Dark|Back"
    r"|Nothing|Something|Everything|Everyone|Someone|People|Things|Time|Well|Good|Great|Nice)\b)"
)
ADVERBS = (
    r"(?: (?:actually|also|always|currently|finally|just|now|officially|often|only|originally"
    r"|really|recently|still|usually|absolutely|definitely|truly|totally|even|already|kinda"
    r"|sometimes|mostly|mainly|both|all|never|ever|lately|simply|particularly|especially"
    r"|temporarily|once|basically|generally|typically|do|did|did finally|have|had|'ve))*"
)
_BE = r"(?: (?:am|are|is|was|were|be|been|being)|['’](?:m|re|s))"
_HAVE = r"(?: (?:have|has|had)|['’](?:ve|s|d))?"
_AUX = rf"(?:{_BE}|{_HAVE}(?: been)?|['’]ll| will){ADVERBS}"
_PLACE = r"(?P<value>(?-i:[A-Z])[\w'’.-]*(?:,? (?-i:[A-Z])[\w'’.-]*)*)"
_THING = r"(?P<value>[^,.;:!?()]+?)"
_END = (
    r"(?= (?:and|but|because|since|so|as|when|while|where|which|who|that|if|after|before|until"
    r"|for|with|to|by|due|these|now|right|today|lately|nowadays|too|again|this|last|next|from"
    r"|over|near|about|every|on|in|at|during|though|although)\b|[,.;:!?()]| -|$)"
)
_JOBS = (
    r"nurse|doctor|surgeon|paramedic|teacher|professor|lecturer|engineer|developer|programmer"
    r"|designer|architect|lawyer|attorney|solicitor|accountant|chef|cook|baker|barista|waiter"
    r"|waitress|bartender|pilot|driver|mechanic|electrician|plumber|carpenter|farmer|gardener"
    r"|florist|writer|author|journalist|editor|translator|interpreter|photographer|painter"
    r"|artist|musician|singer|dancer|actor|actress|director|producer|manager|consultant|analyst"
    r"|scientist|researcher|biologist|chemist|physicist|pharmacist|dentist|vet|veterinarian"
    r"|therapist|counselor|counsellor|psychologist|psychiatrist|coach|trainer|librarian|clerk"
    r"|cashier|salesperson|realtor|banker|trader|broker|soldier|officer|firefighter|policeman"
    r"|policewoman|detective|judge|politician|entrepreneur|freelancer|founder|receptionist"
    r"|secretary|assistant|intern|apprentice|student|physiotherapist|midwife|tailor|butcher"
    r"|welder|technician|streamer|blogger|youtuber|tutor|nanny|babysitter|caregiver|stylist"
    r"|hairdresser|barber|illustrator|animator|astronomer|geologist|economist|historian"
)
_PETS = (
    r"dog|cat|puppy|kitten|rabbit|bunny|parrot|hamster|guinea pig|horse|pony|goldfish|turtle"
    r"|tortoise|snake|lizard|gecko|ferret|canary|budgie|chinchilla|pup|retriever|labrador"
    r"|shepherd|terrier|poodle|beagle|husky|corgi|bulldog|dachshund|chihuahua|collie"
)
_MONTHS = (
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]*"
)  # fmt: skip
_DATE = (
    rf"(?:(?P<value>(?:the )?\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTHS}|{_MONTHS} (?:the )?"
    r"\d{1,2}(?:st|nd|rd|th)?|\d{1,2}[./]\d{1,2}|in " + _MONTHS + r")|today|tomorrow|yesterday"
    r"|(?:next|last|this) \w+)"
)


def _own(attribute: str, text: str, constant: str | None = None) -> SlotRule:
    return SlotRule(attribute, pattern(text), constant)


def _pred(
    attribute: str, text: str, constant: str | None = None, *, negative: bool = False
) -> SlotRule:
    return SlotRule(attribute, pattern(rf"{_AUX}{text}"), constant, negative)


OWN = (
    _own(
        "favourite {what}",
        rf"\b(?:my|our)(?: all-time| all time| absolute)? fav(?:ou?rite|e)? (?P<what>\w+(?: \w+)?)"
        rf"(?: (?:right now|at the moment|lately|these days))? (?:is|are|was|has to be|would be|"
        rf"has always been){ADVERBS} {_THING}(?: now| these days| at the moment| right now)?{_END}",
    ),
    _own(
        "favourite {what}",
        rf"(?:^|[,;] )(?P<value>[^,.;!?]+?) (?:is|are){ADVERBS} (?:my|our)(?: all-time)? "
        rf"fav(?:ou?rite|e)? (?P<what>\w+(?: \w+)?){_END}",
    ),
    _own("birthday", rf"\bmy birthday{_BE}{ADVERBS}(?: on)? {_DATE}"),
    _own("birthday", rf"\bit{_BE} my birthday(?: on)? {_DATE}"),
    _own("birthday", rf"\b{_DATE} {_BE.strip()} my birthday"),
    _own("name", r"\bmy(?: full| real| first)? name(?: is|['’]s) (?P<value>(?-i:[A-Z])[\w'’-]+"
         r"(?: (?-i:[A-Z])[\w'’-]+)*)"),
    _own("phone", r"\bmy (?:phone|mobile|cell|telephone)?(?: phone)? ?number is "
         r"(?P<value>[+\d][\d -]{5,})"),
    _own("email", r"\bmy e-?mail(?: address)? is (?P<value>\S+@\S+\w)"),
    _own("pet", rf"\b(?P<value>(?-i:[A-Z])\w+) is my (?:{_PETS})['’]s name"),
    _own("pet", rf"\b(?:my|our) (?:\w+ )?(?:{_PETS})(?: is|['’]s)? (?:called|named|name is) "
         r"(?P<value>(?-i:[A-Z])\w+)"),
    _own("pet", rf"\b(?:my|our) (?:{_PETS})['’]s name is (?P<value>(?-i:[A-Z])\w+)"),
    _own("job", rf"\bmy(?: new)? job(?: is"
                rf"|['’]s)(?: as)?(?: an?)? (?P<value>(?:\w+ )?(?:{_JOBS}))"),
    _own("hometown", rf"\bmy home ?town(?: is|['’]s) {_PLACE}"),
    _own("partner", r"\bmy (?:wife|husband|boyfriend|girlfriend|fianc[eé]e?|partner)"
         r"(?:['’]s name)?(?: is|['’]s)?(?: called| named)? (?P<value>(?-i:[A-Z])\w+)"),
    _own("children", r"\b(?:we|i)(?:['’]ve got| have| got) (?P<value>\w+(?: \w+)? "
         r"(?:kids|children|sons|daughters|boys|girls|kid|child|son|daughter))\b(?!['’])"),
)  # fmt: skip

PREDICATES = (
    _pred("employer", rf" (?:work|works|working|worked|employed|interning|intern)"
          rf"(?: as an? [\w ]+?)?(?: full[- ]time| part[- ]time)? (?:at|for) "
          rf"(?:the |an? )?{_PLACE}"),
    _pred("employer", rf" (?:start|started|starting|got|landed|accepted|took|begin|began)"
          rf"(?: working| work| a(?: new)?(?: \w+)? (?:job|position|role)"
          rf"| my new job| an internship)? (?:at|with|for) (?:the )?{_PLACE}"),
    _pred("employer", rf" (?:joined|joining|(?:got )?hired by|employed by) (?:the )?{_PLACE}"),
    _pred("workplace", rf" (?:work|works|working|worked) (?:at|for|in) (?P<value>(?:an?|the|our) "
          rf"[\w -]+?){_END}"),
    _pred("job", rf" (?:work|works|working|worked|(?:got|started|landed)(?: a(?: new)?)? "
          rf"(?:job|work|position)) as (?:an? |the )?(?P<value>[\w -]+?){_END}"),
    _pred("job", rf" (?:become |became )?an? (?P<value>(?:[\w-]+ ){{0,2}}(?:{_JOBS}))\b"),
    _pred("job", rf" became an? (?P<value>(?:[\w-]+ ){{0,2}}(?:{_JOBS}))\b"),
    _pred("home", rf" (?:live|lives|living|lived|based|settled|staying)(?: here| over)? in "
          rf"(?:(?:an?|our|my|the) [\w -]+? in )?(?:downtown |central )?{_PLACE}"),
    _pred("home", rf" (?:move|moves|moved|moving|relocated|relocating)(?: back| out| away| here)?"
          rf"(?: from {NAME})? to (?:(?:an?|our|my|the) [\w -]+? (?:in|outside|near) )?{_PLACE}"),
    _pred("birthplace", rf" born(?: and raised)? in {_PLACE}"),
    _pred("birthplace", rf" (?:originally )?from {_PLACE}"),
    _pred("birthplace", rf" (?:grew|grow|raised) (?:up )?(?:on [\w ]+ )?(?:in|near"
                        rf"|outside) {_PLACE}"),
    _pred("age", r" (?:turned |turning |turn )?(?P<value>\d{1,3})(?: years?[ -]old| years of age"
          r"|(?= (?:now|today|last|this|next|on|tomorrow|yesterday|in)\b)|(?=[,.;!?]|$))"),
    _pred("age", r" (?:turned|turning|turns) (?P<value>\d{1,3})"),
    _pred("birthday", rf" born on {_DATE}"),
    _pred("birthday", rf" (?:celebrate|celebrated) my birthday(?: on)? {_DATE}"),
    _pred("marital status", r" (?:single|not married|unmarried)\b", "single"),
    _pred("marital status", r" married\b", "married"),
    _pred("marital status", r" (?:get|getting|got|getting) married\b", "married"),
    _pred("marital status", r"(?: got| get| getting)? engaged\b(?! in)", "engaged"),
    _pred("marital status", r"(?: got| getting)? (?:divorced|separated|widowed)\b", "divorced"),
    _pred("marital status", r" (?:broke|broken|split|breaking) up\b", "single"),
    _pred("marital status", r" (?:dating|seeing|going out with) (?-i:[A-Z])", "in a relationship"),
    _pred("diet", r"(?: an?)?(?: strict)? (?P<value>vegan|vegetarian|pescatarian|flexitarian|"
          r"gluten[- ]free|lactose intolerant|keto|teetotal|teetotaller)\b"),
    _pred("allergy", rf" allergic to {_THING}{_END}"),
    _pred("allergy", r"(?: have| has)? an? (?:bad |severe |mild )?(?P<value>\w+) allergy"),
    _pred("health", rf" (?:been )?diagnosed with {_THING}{_END}"),
    _pred("health", r"(?: have| has| had| suffer from| suffers from) (?P<value>asthma|diabetes|"
          r"migraines?|insomnia|arthritis|anxiety|depression|adhd|cancer|epilepsy|eczema|"
          r"high blood pressure|pneumonia|(?:the )?flu|covid|a cold|a fever|surgery)\b"),
    _pred("health", rf" (?P<value>(?:broke|sprained|injured|hurt|twisted|fractured|tore) "
          rf"(?:my|his|her) [\w ]+?){_END}"),
    _pred("health", r"(?: in| in the) (?P<value>hospital)\b"),
    _pred("language", r" (?:speak|speaks|fluent in|learning|learn|studying|learned) "
          r"(?P<value>(?-i:English|Spanish|French|German|Italian|Portuguese|Chinese|Mandarin|"
          r"Cantonese|Japanese|Korean|Arabic|Russian|Dutch|Swedish|Norwegian|Danish|Finnish|Polish|"
          r"Czech|Greek|Turkish|Hebrew|Hindi|Urdu|Thai|Vietnamese|Latin|Swahili|Welsh|Irish))\b"),
    _pred("school", rf" (?:study|studying|studied|enrolled|graduated|graduate)(?: [\w ]+?)? "
          rf"(?:at|from) (?:the )?{_PLACE}"),
    _pred("field of study", rf" (?:study|studying|studied|majoring in|majored in) {_THING}{_END}"),
    _pred("pet", rf"(?: have| has| had| got| adopted| adopt| keep| own| rescued)(?: got)? "
          rf"(?P<value>(?:an?|the|two|three|four|\d+) (?:[\w-]+ )*?(?:{_PETS})s?"
          rf"(?: (?:called|named) \w+)?)\b"),
    _pred("dislikes", rf" (?:hate|hates|dislike|dislikes|can['’]?t stand|cannot stand|despise|"
          rf"not a fan of|not into|not keen on|detest) {_THING}{_END}", negative=True),
    _pred("likes", rf" (?:love|loves|like|likes|enjoy|enjoys|adore|adores|enjoying|into|"
          rf"fond of|a(?: big| huge)? fan of|obsessed with|crazy about|keen on|passionate about|"
          rf"prefer|prefers|hooked on) {_THING}{_END}"),
    _pred("hobby", rf"(?: play| plays| playing| took up| taken up) (?:the |in )?(?P<value>"
          rf"[a-z]+(?: [a-z]+)?){_END}"),
    _pred("trip", rf"(?: going| flying| travel+ing| heading| driving| off| traveling| fly| go)"
          rf"(?: on a \w+)? to (?:the )?{_PLACE}"),
    _pred("trip", rf" (?:visit|visiting|visited) (?:the )?{_PLACE}"),
    _pred("trip", rf" (?:planning|plan|booked|planned)(?: to go on| on)? (?:an?|the|our|my) "
          rf"(?:[\w-]+ )*?(?:trip|holiday|vacation|cruise|flight|getaway)s? to (?:the )?{_PLACE}"),
    _pred("plan", rf" (?:going to|gonna|planning to|planning on|plan to|hoping to|hope to|want to|"
          rf"intend to|signed up for|about to|booked|wanna|thinking of"
          rf"|thinking about) {_THING}{_END}"),
    _pred("owns", rf" (?:bought|own|owns|purchased|got|drive|drives|have|has|picked up)(?: got)?"
          rf"(?: myself| me)? (?P<value>(?:an?|my own|some) (?:[\w'’-]+ ?){{1,4}}?){_END}"),
)  # fmt: skip
