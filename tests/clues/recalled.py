"""What a memory model may recall at questions about the sample history of Ann, by hand.

Of each question: the words by which its evidence is known, clues that the history bears out, in
other words than the history's as a model writes them, and clues that a model made up: some have
nothing to do with her, others name somebody or something that she does speak of.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recalled:
    """One question, what a message that answers it contains, and clues to it."""

    question: str
    answer: str
    borne_out: tuple[str, ...]
    made_up: tuple[str, ...]


RECALLED = (
    Recalled(
        "Which pet does she keep?",
        "My cat.",
        ("My cat Otto is grey, fat and eleven years old", "Otto refuses to go out in the rain"),
        ("Her parrot learnt to whistle the national anthem", "Her dog Otto hates the snow"),
    ),
    Recalled(
        "What does her partner do for a living?",
        "He teaches chemistry",
        ("Tom teaches chemistry and marks homework", "My partner Tom is a chemistry teacher"),
        ("He flies helicopters for the coastguard", "Tom plays the trumpet in a Leeds theatre"),
    ),
    Recalled(
        "What must not be in her food?",
        "allergic to them",
        ("I'm allergic to hazelnuts, swollen throat", "No hazelnuts please"),
        ("Gluten gives her terrible migraines", "She avoids shellfish since the hospital stay"),
    ),
    Recalled(
        "Which instrument does the sister play?",
        "Elgar cello concerto",
        ("Clara played the Elgar cello concerto in a recital", "Clara teaches at a music school"),
        (
            "Her sister drums in a punk band called Vermin",
            "Clara sings in the choir of a cathedral in Paris",
        ),
    ),
    Recalled(
        "How did she try to sleep better?",
        "done with coffee altogether",
        ("I've given up coffee, only herbal tea", "Six cups of coffee a day and a deadline"),
        (
            "A hypnotist cured the insomnia in two sessions",
            "She bought a waterbed from a catalogue",
        ),
    ),
    Recalled(
        "What did the reading group choose?",
        "The Left Hand of Darkness",
        ("Our book club picked The Left Hand of Darkness", "A novel by Ursula Le Guin"),
        (
            "They argued about Tolstoy until midnight",
            "The club reads a detective story by Agatha Christie",
        ),
    ),
    Recalled(
        "Where does the reading group come together?",
        "at Nadia's flat",
        ("On the last Thursday of every month at Nadia's flat", "Nadia makes too much cake"),
        ("They gather in the crypt of a cathedral", "The pub landlord lends them a skittle alley"),
    ),
    Recalled(
        "When was the holiday supposed to be at first?",
        "9 to 16 May",
        ("A week in Porto from 9 to 16 May", "Clara and I have booked a trip to Porto"),
        (
            "The safari in Kenya was planned for August",
            "A fortnight in Lisbon with Tom in December",
        ),
    ),
    Recalled(
        "Which employer wants to hire her?",
        "Marchmont Museum in Edinburgh",
        ("The Marchmont Museum in Edinburgh offered me the job", "An interview at a museum"),
        ("A shipyard needs a naval architect", "A bank in Edinburgh pays her twice as much"),
    ),
    Recalled(
        "What was she given when she grew a year older?",
        "second-hand bicycle",
        (
            "Tom gave me a green second-hand bicycle with a basket",
            "Clara recorded herself playing Bach",
        ),
        (
            "A diamond brooch that had been in a vault",
            "Tom gave her a silver watch on her birthday",
        ),
    ),
    Recalled(
        "What task did she get in the interview?",
        "whale skeleton",
        ("They asked me to sketch a room for a whale skeleton", "I hung it over a staircase"),
        ("She had to assemble a radio blindfolded", "The panel wanted a poem in Latin"),
    ),
    Recalled(
        "What did the physician find?",
        "iron is very low",
        ("My iron is very low, the doctor said", "The doctor gave me iron tablets"),
        ("The X-ray showed a fractured rib", "The doctor said her blood pressure is too high"),
    ),
    Recalled(
        "Who helped with the furniture?",
        "called Agnes",
        ("A neighbour called Agnes told the men to take the door off", "The sofa didn't fit"),
        ("Two firefighters carried the piano upstairs", "A crane lifted the wardrobe to the roof"),
    ),
    Recalled(
        "What is the first exhibit about that she draws?",
        "room about lighthouses",
        ("A room about lighthouses that opens in November", "I get to draw lenses"),
        ("The gallery shows medieval armour from Poland", "Dinosaur footprints fill the courtyard"),
    ),
    Recalled(
        "Who is in charge of her work?",
        "called Priya",
        ("My boss is called Priya", "Priya has built exhibitions for twenty years"),
        (
            "The director Herr Schulz never smiles",
            "Her boss Martin has worked at the museum for a year",
        ),
    ),
    Recalled(
        "How does she get to the office?",
        "On the green bicycle",
        ("On the green bicycle along the Water of Leith", "Twenty-five minutes by bicycle"),
        ("She commutes by hovercraft across the firth", "An underground shuttle departs hourly"),
    ),
    Recalled(
        "What will be celebrated in Leeds?",
        "Marek proposed",
        ("Marek proposed and Clara said yes", "They want to marry in Leeds in May next year"),
        ("Grandmother turns ninety at a castle", "The football club marks its centenary"),
    ),
    Recalled(
        "What sport has she signed up for?",
        "ten-kilometre run",
        ("A ten-kilometre run on 13 September", "Ross talked me into a run"),
        ("She will row the Channel in a bathtub", "Ross talked her into swimming across the river"),
    ),
)
