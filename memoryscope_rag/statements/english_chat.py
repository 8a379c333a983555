"""English: what of a chat is worth keeping, what is not, and which words say nothing."""

from __future__ import annotations

from memoryscope_rag.statements.english_slots import ADVERBS, RELATION, words

GENERIC = words(
    """
    i i'm i've i'd i'll me my mine myself we we're we've we'll us our ours you you're your yours it
    it's its he she they them their his her him that that's this these those there there's here who
    what when where which why how a an the and or but so if then than as at by for from in into of
    off on onto out over to up down with without about after before again all also always am any
    are be been being because both can can't could couldn't did didn't do does doesn't doing don't
    each ever every few get gets getting got gotten give gives giving gave given go goes going gone
    went had has have having just keep keeps keeping kept know knows let lets lot lots make makes
    making made many may maybe me might more most much must need needs never no not now off oh ok
    okay only other others own put really said say says see seeing seen saw should since some
    something still such sure take takes taking taken took tell than thank thanks think thinking
    thought though through time times too try tried trying very want wanted wants was wasn't way
    ways well were will won't would wouldn't yeah yep yes yet come came coming look looks looking
    looked feel feels feeling felt find finds found mean means meant happen happened happening
    thing things stuff anything everything nothing someone everyone anyone people person life
    world day days one ones bit kind sort part place moment moments good great nice cool awesome
    amazing wonderful fantastic lovely best better fun funny interesting incredible inspiring
    special important happy glad excited exciting proud grateful thankful love loved loves like
    liked likes enjoy enjoyed hope hoping hopes wish believe believing guess agree appreciate
    understand remember forget help helps helped helping support supportive supporting positive
    hard tough difficult easy big huge little small new old long right definitely absolutely
    totally truly actually especially super pretty quite always forward reminder reminds reminded
    inspire inspires inspired motivate motivated motivates motivation journey passion passionate
    dream dreams goal goals experience experiences joy peace impact difference chance opportunity
    opportunities progress growth strength stronger together mate dude man guy guys hey hi hello
    wow congrats haha lol hear heard sounds sound share shared sharing talk talking talked chat
    check bet care cares caring matter matters worth idea ideas advice tip tips fingers crossed
    luck enough sense rewarding relaxing calming soothing stress stressful therapeutic freeing
    blast pic pics photo photos picture pictures
    learn learning determined satisfying worked working work brag manage managed tons ton
    gonna wanna gotta stay staying stayed shot start starts starting started realize realized truly
    fulfilling memories memory forever community challenge challenges challenging accomplish
    accomplished accomplishment effort efforts dedication courage brave bravery embrace
    """
)

_PAST_EVENT = (
    r"went|visited|attended|joined|started|began|finished|completed|graduated|moved|bought"
    r"|purchased|sold|adopted|got|met|won|lost|received|took|made|built|painted|wrote|published"
    r"|read|watched|saw|played|ran|hiked|climbed|swam|camped|traveled|travelled|flew|drove|rode"
    r"|volunteered|organized|organised|hosted|donated|signed|enrolled|passed|failed|quit|retired"
    r"|broke|hurt|injured|cooked|baked|learned|learnt|taught|tried|planted|fixed|repaired|opened"
    r"|launched|founded|created|designed|applied|interviewed|hired|promoted|fired|resigned"
    r"|celebrated|married|engaged|divorced|born|died|grew|lived|worked|studied|stayed|spent"
    r"|ordered|booked|cancelled|canceled|returned|borrowed|gave|brought|found|discovered|decided"
    r"|performed|recorded|participated|competed|trained|practiced|explored|dropped|caught|had"
    r"|set up|picked up|signed up|took up|came back|raised|invited|helped|switched|changed"
)

# whole or opening phrases that a reader of the chat would not write down
DISMISSED: tuple[tuple[str, str], ...] = (
    ("greeting", r"^(?:hi|hey|hello|good (?:morning|evening|afternoon|night)|bye|see you|"
     r"see ya|talk (?:to you )?(?:soon|later)|take care|long time no (?:see|talk)|catch you|"
     r"have a (?:good|great|nice|lovely))\b.{0,60}$"),
    ("thanks", r"^(?:(?:oh|aw+|wow|hey|well|no)[,!]? )?(?:many |big )?(?:thank(?:s| you)|thx|"
     r"cheers|you['’]re (?:so |very |most )?welcome|no (?:problem|worries)|my pleasure|sorry)\b"),
    ("thanks", r"\b(?:i|we)(?: really| truly| so| do)* appreciate\b|"
     r"\b(?:grateful|thankful) (?:for|to have) (?:you|your|our friend)|"
     r"\bi(?:['’]m| am)(?: so| really)? (?:sorry|lucky to have you)"),
    ("agreement", r"^(?:yes|yeah|yep|yup|sure|ok|okay|of course|exactly|right|true|absolutely|"
     r"totally|definitely|agreed|got it|i see|i know(?: right)?|i agree|same here|me too|"
     r"sounds (?:good|great|like)|no way|for sure|fair enough|you bet|makes sense)\b.{0,24}$"),
    ("agreement", r"^i(?: totally| completely| fully| really| definitely| can)*"
     r" (?:agree|get (?:it|that|you|what you)|understand|hear you|feel you|relate|know what you"
     r"|know how you|see what you|see why|see how|imagine|bet|guess so|think so|hope so|"
     r"know (?:it|that|right|you))\b"),
    ("to the other", r"^(?:and |but |so )*(?:you|your|you['’]re|you['’]ve|you['’]ll|congrats|"
     r"congratulations|good (?:luck|for you|on you|job|going|work)|great (?:job|work|idea)|"
     r"nice (?:one|work)|well done|way to go|keep|let me know|let['’]s|enjoy|best of luck|"
     r"go for it|don['’]t (?:worry|give up|forget to)|hang in|stay|take (?:it|your)|"
     r"just (?:remember|keep|do|be)|remember,|trust|believe|make sure|"
     r"hope (?:you|your|it|that|all|everything)|glad (?:you|to hear|that you|it|we)|"
     r"happy (?:for you|to (?:hear|help))|can['’]t wait to (?:hear|see (?:it|you|what|how))|"
     r"looking forward to (?:hearing|seeing (?:it|you|what)|it|that)|feel free)\b"),
    ("to the other", r"^(?:i|we)(?:['’](?:m|re|ll|d|ve))?(?: am| are| will| would| have| do| can)*"
     r"(?: also| really| so| just| always| totally| definitely| sure| truly| super| very"
     r"| sincerely)*"
     r" (?:(?:glad|happy|thrilled|excited|pleased|proud|delighted|curious|sure|certain|confident|"
     r"inspired|impressed|sorry|amazed|honou?red|here|rooting|cheering|stoked|pumped|grateful)"
     r"(?: \w+){0,3} (?:you|your|you['’]re|you['’]ve|yours)\b|"
     r"(?:hope|wish|bet|think|believe|know|admire|love|like|respect|support|trust|"
     r"want|miss|noticed|heard)(?: that| how| to (?:see|hear))?(?: the way| seeing| hearing)? "
     r"(?:you|your|you['’]re|you['’]ve|you['’]ll|ya)\b|"
     r"(?:love|like) (?:that|this|the (?:pic|photo|idea|sound))|"
     r"(?:look|looking) forward to (?:hearing|seeing (?:it|you|what|how)|it|that|your|reading)|"
     r"(?:glad|happy) (?:to (?:hear|help|know)|it|that|we|they|he|she)|"
     r"(?:be|keep|check|let) (?:you|that|it|them|those) )"),
    ("to the other", r"^i(?:['’]ll|['’]d| will| would)(?: definitely| sure| certainly| totally| "
     r"for sure| love to| have to| be sure to| keep| make sure to| try to| gladly| just| really| "
     r"surely| also)* (?:check (?:it|that|them|out|those|this)|keep (?:that|it|you|this|up|going)|"
     r"let you know|take a look|look into (?:it|that)|hear|see (?:it|you|what)|think about it|"
     r"send (?:you|it)|share (?:it|them|some|more|that)|give (?:it|that|them) a|try (?:it|that)|"
     r"remember (?:that|this)|read (?:it|that)|watch (?:it|that)|be (?:there|here|happy to))\b"),
    ("request", r"^(?:please|pls|can you|could you|would you|will you|tell me|show me|give me|"
     r"help me|write|rewrite|draft|translate|summari[sz]e|explain|describe|list|create|generate|"
     r"make (?:me|a|an|it|this)|suggest|recommend|find (?:me|a)|compose|correct|proofread|"
     r"convert|calculate|provide|remind me what|act as|answer|update the|add (?:a|the|some)|"
     r"continue|use the|fix|search|look up|imagine you)\b"),
    ("request", r"\b(?:can|could|would) you (?:please |also |maybe )?(?:help|tell|give|write|"
     r"suggest|recommend|explain|provide|show)\b"),
    ("request", r"^(?:i(?:['’]m| am)(?: also| really| just)?|i(?: also| just)?)(?: looking for| "
     r"need| want| would like|['’]d like|"
     r" am looking for)(?: you to| your| some| a few| any)?(?: more| new| good)? ?(?:help|tips|"
     r"advice|ideas|recommendations|suggestions|information|info|details|examples|to know|"
     r"inspiration|you to)\b"),
    ("greeting", r"^(?:it )?(?:seems|feels)(?: like)? (?:forever|ages|years|a while)|"
     r"^it['’]s been (?:a while|forever|ages|so long|too long)\b(?! since i)"),
    ("to the other", r"^i(?:['’]ll| will)(?: definitely| certainly| be sure to| surely| always)* "
     r"(?:reach out|let you|keep you|ask you|tell you|be here)\b"),
    ("general", r"\b(?:they|people|kids|everyone|everybody|nobody) (?:should|deserve|need to)\b|"
     r"^(?:our|the) (?:kids|children|youth|future|community)\b[^,.]{0,30}\b(?:our future"
     r"|deserves?|should)"),
    ("general", r"^(?:we|you|people|everyone|they)(?: all| just| really| always)? (?:should|need"
                r"|must|"
     r"have to|gotta|can all|could all)\b(?! to (?:pay|buy|pick|move|leave|fix))|"
     r"^(?:look|check out|see) (?:how|what|at|this)\b|"
     r"^(?!(?:growing|lately|during|speaking|nothing|something|morning|evening|spring|thing"
     r"|bring)\b)"
     r"\w+ing\b(?!.*, (?:i|we|my|our)\b)(?!.* my (?:fav|hobb)).*\b(?:is|are|was|makes?|made|"
     r"really|can|helps?|brings?|gives?|reminds?|keeps?|has|feels?)\b"),
    ("interest", r"^i(?:['’]m| am)(?: also| really| just| especially| particularly| very)* "
     r"(?:interested in (?:learning|knowing|hearing|trying|the|that|this|exploring|seeing|using)|"
     r"curious|wondering|not sure|sure|looking for|hoping (?:to (?:get|find|learn)|you))\b|"
     r"^i(?:['’]ll| will)(?: definitely| also| just| probably)* (?:make sure|want to|need to"
     r"|be sure|"
     r"consider|look|start (?:by|with)|go with|use (?:the|this|that|your))\b|"
     r"^i (?:was|am) (?:thinking|wondering) (?:if|about what|whether)\b|"
     r"^i (?:didn['’]t (?:know|realize|realise)|had no idea|never (?:knew|thought))\b"),
    ("filler", r"^(?:i don['’]t know|not sure|i guess|whatever|anyway|never mind|wow|haha|lol|"
     r"oh no|oh my|hmm+|you know|no kidding|time flies|that['’]s (?:it|all)|"
     r"speaking of which)\b.{0,20}$"),
)  # fmt: skip

MERITS: tuple[tuple[str, str, int], ...] = (
    ("event", rf"\b(?:i|we|he|she|they)(?:['’]ve|['’]d| have"
              rf"| had)?{ADVERBS} (?:{_PAST_EVENT})\b", 2),
    ("event", rf"\b(?:my|our) (?:\w+ )?(?:{RELATION})\b.{{0,40}} (?:{_PAST_EVENT})\b", 2),
    ("event", r"\bi(?:['’]ve| have)(?: just| recently| already| finally| always| also)? "
     r"(?:been|done|gone|\w+ed|made|written|seen|taken|bought|found|read|built|won|begun)\b", 1),
    ("event", r"\b(?:i|we)(?: just| recently| already| finally| also| both| even)? (?!(?:loved"
              r"|liked|wanted|"
     r"needed|hoped|wished|agreed|enjoyed|realized|realised|felt|missed|cared|struggled|noticed|"
     r"used|talked|looked|believed|tried|seemed|figured|managed)\b)\w{2,}ed\b", 2),
    ("time", r"\b(?:yesterday|tomorrow|tonight|this (?:morning|evening|afternoon|week|weekend"
             r"|month|"
     r"year|summer|winter|spring|fall|\w+day)|(?:last|next|past) (?:night|week|weekend|month|year|"
     r"summer|winter|spring|fall|few|\w+day|tues|couple)|\w+ (?:days|weeks|months|years|hours) "
     r"(?:ago|now|old)|since \w+|for (?:\d+|two|three|four|five|six|seven|ten|a few|many|several) "
     r"(?:days|weeks|months|years)|in (?:19|20)\d\d|in (?:january|february|march|april|may|june|"
     r"july|august|september|october|november|december))\b", 1),
    ("plan", r"\b(?:i|we)(?:['’]m|['’]re| am| are|['’]ll| will)?(?: also| now| really| finally| "
     r"currently| actually| still| even| just| planning)* (?:going to|gonna|planning|plan to|"
     r"thinking (?:of|about)|will|hope to|hoping to|want to|intend to|looking forward to|"
     r"working on|saving (?:up )?for|trying to|training for|preparing for|signed up|"
     r"learning|studying|applying|considering|starting|taking|looking into|taking up)\b", 1),
    ("plan", r"\b(?:can['’]t wait (?:for|to)|dream(?:ing)? (?:of|is to)|my (?:goal|dream|plan) is|"
     r"bucket list)\b", 1),
    ("taste", r"\b(?:i|we)(?: really| also| always| absolutely| just| still| do| truly| usually| "
     r"often)*(?:['’]m| am)? (?:love|like|enjoy|prefer|hate|dislike|adore|miss|into|can['’]t stand|"
     r"don['’]t like|don['’]t enjoy|a (?:big |huge )?fan|obsessed|allergic|afraid|scared)\b", 1),
    ("taste", r"\b(?:my|our)(?: \w+)? fav(?:ou?rite|e)?s?\b", 1),
    ("habit", r"\b(?:i|we|he|she|they)(?:['’]m|['’]re| am| are)?(?: also| usually| always| often| "
     r"sometimes| normally| mostly| currently| now| still| just| never| don['’]t"
     r"| no longer)* (?:play|plays|work|works|"
     r"working|live|lives|living|teach|teaches|run|runs|running|do|cook|bake|drive|ride|paint|"
     r"write|writing|read|reading|sing|dance|collect|volunteer|practice|study|train|swim|"
     r"garden|own|have|['’]ve got|has|use|watch|make|grow|speak|eat|drink|wear|go|keep|walk|"
     r"visit|hike|travel|perform|draw|design|build|coach|mentor|struggle|suffer)\b", 1),
    ("project", r"\b(?:i|we)(?:['’]m|['’]re|['’]ve been| am| are| have been)(?: also| now| still"
                r"| currently)*"
     r" (?:writing|building|making|designing|developing|renovating|reading|recording|organizing|"
     r"organising|training|coaching|teaching|restoring|knitting|sewing|painting|doing) "
     r"(?:an?|my|the|our|some|two|for|\w+ing)\b", 2),
    ("change", r"\b(?:any ?more|no longer|used to|these days|nowadays)\b", 1),
    ("habit", r"\b(?:every|each) (?:day|week|weekend|month|year|morning|evening|night|summer|"
     r"winter|monday|tuesday|wednesday|thursday|friday|saturday|sunday)\b|\b(?:twice|once|"
     r"\w+ times) a (?:day|week|month|year)\b", 1),
    ("relation", rf"\b(?:my|our)(?: \w+)? (?:{RELATION})\b", 1),
    ("possession", r"(?:^|\b(?:i|we)\b.*\b|, )(?:my|our) (?:own |new |old |first )?(?!(?:life"
                   r"|heart|mind|way|own|day|time|"
     r"thoughts?|feelings?|experience|passion|journey|goals?|dreams?|best|side|friendship|bond|"
     r"opinion|head|eyes|fingers|pleasure|favou?rites?|world|self)\b)\w{3,}\b", 1),
    ("fact", r"\b(?:i|we)(?:['’]m|['’]re| am| are| was| were)(?: also| now| still| currently| "
     r"originally| actually)? (?:an?|the|from|in|at|on|with|\d+) \b", 1),
    ("number", r"\b\d+\b", 1),
    # a name in mid-sentence; the one after "Wow," is whom one talks to
    ("name", r"(?-i:(?<=[a-z] )(?!I\b|I['’]|LOL|OMG)[A-Z][\w'’]+|[\"“][A-Z][^\"”]{2,60}[\"”])", 1),
)  # fmt: skip
