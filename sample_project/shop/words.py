"""Which names, streets and goods do the generated rows speak of."""

from __future__ import annotations

FIRST_NAMES = (
    "Anna", "Björn", "Chloé", "Dmitri", "Elena", "Fatima", "Giulia", "Henrik", "Inês", "Jan", "Katarzyna", "Lars",
    "Marie", "Nils", "Olga", "Paulo", "Quentin", "Rosa", "Søren", "Tereza", "Ursula", "Viktor", "Wiktoria", "Yusuf",
    "Zoë", "Anna Maria", "Jean-Luc", "Hans Peter",
)  # fmt: skip
LAST_NAMES = (
    "Almeida", "Bauer", "Czerny", "Dubois", "Eriksson", "Fischer", "García", "Huber", "Ivanova", "Jansen", "Kowalski",
    "Lefèvre", "Moretti", "Núñez", "O'Brien", "Petersen", "Quist", "Rossi", "Schäfer", "Tanaka", "van der Berg",
    "Weber", "Yilmaz", "Zieliński",
)  # fmt: skip
SINGLE_NAMES = ("Marguerite", "Aristide", "Nadja")
MAIL_HOSTS = ("example.com", "example.net", "example.org", "mail.example.eu", "post.example.de")
STREETS = (
    "Bahnhofstraße", "Calle Mayor", "Dorpsstraat", "High Street", "Kungsgatan", "Lindenallee", "Nerudova",
    "Piotrkowska", "Rua Augusta", "Rue de la Paix", "Strandvejen", "Via Garibaldi",
)  # fmt: skip
CITIES = (
    "Aarhus", "Brno", "Coimbra", "Dresden", "Eindhoven", "Firenze", "Graz", "Kraków", "Lille", "Málaga", "Namur",
    "Oxford", "Uppsala", "Zürich",
)  # fmt: skip
CATEGORIES = {
    "kitchen": ("Kitchen", ("Pots", "Knives", "Baking", "Storage", "Linen")),
    "garden": ("Garden", ("Tools", "Seeds", "Watering", "Furniture", "Lights")),
    "books": ("Books", ("Cooking", "Travel", "Novels", "Children", "Gardening")),
    "paper": ("Paper", ("Notebooks", "Pens", "Cards", "Calendars", "Ink")),
    "toys": ("Toys", ("Wooden", "Puzzles", "Games", "Outdoor", "Craft")),
}
MATERIALS = ("Enamel", "Linen", "Oak", "Steel", "Cork", "Ceramic", "Wool", "Copper", "Bamboo", "Glass", "Leather")
THINGS = ("bowl", "lamp", "notebook", "kettle", "basket", "clock", "jug", "puzzle", "blanket", "tray", "box", "trowel")
TAGS = ("new", "sale", "gift", "organic", "handmade", "fragile", "bulky", "seasonal")
NOTES = (
    "Leave it with the neighbours", "Second floor, the bell is broken", "It is a present: no invoice in the parcel",
    "Not before ten o'clock", "Call me from the gate",
)  # fmt: skip
REVIEWS = (
    "Exactly as in the picture.", "Smaller than I thought, still lovely.", "Came with a crack, was replaced at once.",
    "My third one. They make good presents.", "The colour fades in the sun.", "Solid.",
)  # fmt: skip
CARRIERS = ("DHL", "DPD", "GLS", "La Poste", "InPost")
