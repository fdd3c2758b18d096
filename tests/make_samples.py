"""Make the sample files of the demo: `python tests/make_samples.py` writes them anew, with `truth.json` beside them.

Every name is invented; account numbers are the ones that bank and tax documentation uses as examples.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from einvoice_files import Facts, Item, attach, cii, ubl
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

FOLDER = Path(__file__).parent.parent / "pipeline" / "demo_samples"
CENT = Decimal("0.01")


@dataclass(frozen=True)
class Line:
    """Hold one line; `rate` is its tax in percent."""

    description: str
    quantity: str
    unit_price: str
    rate: str = "0"

    @property
    def total(self) -> Decimal:
        return (Decimal(self.quantity) * Decimal(self.unit_price)).quantize(CENT, ROUND_HALF_UP)


@dataclass(frozen=True)
class Bill:
    """Hold what the tests know of one sample; `misprint` is added to the printed total."""

    number: str
    date: str
    currency: str
    lines: tuple[Line, ...]
    kind: str = "invoice"
    state: str = "done"
    misprint: Decimal = field(default=Decimal(0))

    @property
    def net(self) -> Decimal:
        return sum((line.total for line in self.lines), Decimal(0))

    @property
    def taxes(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Return net and tax of each rate."""
        nets: dict[str, Decimal] = {}
        for line in self.lines:
            nets[line.rate] = nets.get(line.rate, Decimal(0)) + line.total
        return {
            rate: (net, (net * Decimal(rate) / 100).quantize(CENT, ROUND_HALF_UP))
            for rate, net in sorted(nets.items(), key=lambda item: Decimal(item[0]))
        }

    @property
    def tax(self) -> Decimal:
        return sum((tax for _, tax in self.taxes.values()), Decimal(0))

    @property
    def total(self) -> Decimal:
        return self.net + self.tax + self.misprint

    def truth(self) -> dict[str, str]:
        return {
            "number": self.number,
            "date": self.date,
            "currency": self.currency,
            "total": str(self.total),
            "kind": self.kind,
            "state": self.state,
        }


class Sheet:
    """Write on pages of A4; positions are in points from the left and from the top."""

    def __init__(self) -> None:
        self._target = io.BytesIO()
        self._canvas = Canvas(self._target, pagesize=A4, invariant=1, pageCompression=0)

    def at(self, x: float, y: float, text: str, *, size: float = 10, bold: bool = False, right: bool = False) -> None:
        self._canvas.setFont("Helvetica-Bold" if bold else "Helvetica", size)
        draw = self._canvas.drawRightString if right else self._canvas.drawString
        draw(x, A4[1] - y, text)

    def block(self, x: float, y: float, lines: Sequence[str], *, size: float = 10, step: float = 14) -> None:
        for row, text in enumerate(lines):
            self.at(x, y + row * step, text, size=size)

    def row(self, y: float, cells: Sequence[tuple[float, str, bool]], *, bold: bool = False) -> None:
        """Write cells of (x, text, right-aligned) on one line."""
        for x, text, right in cells:
            self.at(x, y, text, bold=bold, right=right)

    def rule(self, y: float) -> None:
        self._canvas.line(56, A4[1] - y, 539, A4[1] - y)

    def next_page(self) -> None:
        self._canvas.showPage()

    def finish(self) -> bytes:
        self._canvas.showPage()
        self._canvas.save()
        return self._target.getvalue()


def english(amount: Decimal | str) -> str:
    return f"{Decimal(amount):,.2f}"


def german(amount: Decimal | str) -> str:
    return english(amount).translate(str.maketrans(",.", ".,"))


def french(amount: Decimal | str) -> str:
    return english(amount).replace(",", " ").replace(".", ",")


def swiss(amount: Decimal | str) -> str:
    return english(amount).replace(",", "'")


HOSTING = Bill(
    "HH-2025-0041",
    "2025-03-03",
    "GBP",
    (
        Line("Managed server, medium, March 2025", "2", "45.00", "20"),
        Line("Daily backup, 200 GB", "1", "18.50", "20"),
        Line("Domain renewal halden-example.test", "1", "12.00", "20"),
    ),
)


def hosting_invoice() -> bytes:
    """Labels left of their values; pounds."""
    sheet = Sheet()
    sheet.at(56, 70, "Halden Hosting Ltd", size=18, bold=True)
    sheet.block(56, 90, ["7 Quarry Lane, Sheffield S1 9XY, United Kingdom", "VAT registration number: GB 123 4567 82"])
    sheet.at(400, 70, "INVOICE", size=18, bold=True)
    facts = {
        "Invoice number:": HOSTING.number,
        "Invoice date:": "3 March 2025",
        "Due date:": "2 April 2025",
        "Customer number:": "C-20417",
    }
    for row, (label, value) in enumerate(facts.items()):
        sheet.row(150 + 15 * row, [(340, label, False), (450, value, False)])
    sheet.block(56, 150, ["Bill to:", "Orchard & Pine Furniture Ltd", "22 Mill Road", "Leeds LS1 4QT"])
    sheet.row(240, [(56, "Description", False), (370, "Qty", True), (450, "Unit price", True), (539, "Amount", True)])
    sheet.rule(246)
    y = 262.0
    for line in HOSTING.lines:
        cells = [(56.0, line.description, False), (370.0, line.quantity, True)]
        sheet.row(y, [*cells, (450, english(line.unit_price), True), (539, english(line.total), True)])
        y += 18
    sheet.rule(y - 6)
    sheet.row(y + 10, [(370, "Subtotal", False), (539, english(HOSTING.net), True)])
    sheet.row(y + 26, [(370, "VAT 20%", False), (539, english(HOSTING.tax), True)])
    sheet.row(y + 46, [(370, "Total due (GBP)", False), (539, "£" + english(HOSTING.total), True)], bold=True)
    sheet.block(56, y + 90, ["Please pay within 30 days to IBAN GB82 WEST 1234 5698 7654 32.", "Thank you."])
    return sheet.finish()


HOSTING_CREDIT = Bill(
    "HH-CN-2025-0007",
    "2025-03-18",
    "GBP",
    (Line("Managed server, medium: 10 days not available", "1", "30.00", "20"),),
    kind="credit_note",
)


def hosting_credit_note() -> bytes:
    """A credit note that names the invoice it corrects."""
    sheet = Sheet()
    sheet.at(56, 70, "Halden Hosting Ltd", size=18, bold=True)
    sheet.block(56, 90, ["7 Quarry Lane, Sheffield S1 9XY, United Kingdom", "VAT registration number: GB 123 4567 82"])
    sheet.at(400, 70, "CREDIT NOTE", size=16, bold=True)
    facts = {
        "Credit note number:": HOSTING_CREDIT.number,
        "Date:": "18 March 2025",
        "For our invoice:": HOSTING.number,
    }
    for row, (label, value) in enumerate(facts.items()):
        sheet.row(150 + 15 * row, [(330, label, False), (450, value, False)])
    sheet.block(56, 150, ["Credit to:", "Orchard & Pine Furniture Ltd", "22 Mill Road", "Leeds LS1 4QT"])
    line = HOSTING_CREDIT.lines[0]
    sheet.row(240, [(56, "Description", False), (370, "Qty", True), (450, "Unit price", True), (539, "Amount", True)])
    sheet.rule(246)
    cells = [(56.0, line.description, False), (370.0, line.quantity, True)]
    sheet.row(262, [*cells, (450, english(line.unit_price), True), (539, english(line.total), True)])
    sheet.row(300, [(370, "Net amount", False), (539, english(HOSTING_CREDIT.net), True)])
    sheet.row(316, [(370, "VAT 20%", False), (539, english(HOSTING_CREDIT.tax), True)])
    sheet.row(336, [(370, "Total credit (GBP)", False), (539, "£" + english(HOSTING_CREDIT.total), True)], bold=True)
    sheet.at(56, 390, "The amount will be set off against your next invoice.")
    return sheet.finish()


ANALYTICS = Bill(
    "10077",
    "2025-05-14",
    "USD",
    (
        Line("Dashboard design workshop", "6", "185.00", "8.25"),
        Line("Data connector license, 12 months", "1", "1250.00", "8.25"),
        Line("Training session, on site", "2", "420.00", "8.25"),
    ),
)


def analytics_invoice() -> bytes:
    """Labels above their values; dollars, sales tax, month before day."""
    sheet = Sheet()
    sheet.at(56, 64, "Invoice", size=24, bold=True)
    sheet.block(56, 88, ["Bluefern Analytics Inc.", "1450 Larkspur Avenue, Suite 300", "Portland, OR 97205, USA"])
    columns = (
        ("Invoice #", ANALYTICS.number),
        ("Issue date", "05/14/2025"),
        ("Payment due", "06/13/2025"),
        ("Purchase order", "PO-88213"),
    )
    for column, (label, value) in enumerate(columns):
        sheet.at(56 + 125 * column, 160, label, size=8)
        sheet.at(56 + 125 * column, 174, value, size=11, bold=True)
    sheet.at(56, 210, "Billed to", size=8)
    sheet.block(56, 224, ["Tidewater Outfitters LLC", "88 Harbor Street", "Astoria, OR 97103"])
    sheet.row(290, [(56, "Item", False), (340, "Hours/Units", True), (440, "Rate", True), (539, "Line total", True)])
    sheet.rule(296)
    y = 314.0
    for line in ANALYTICS.lines:
        cells = [(56.0, line.description, False), (340.0, line.quantity, True)]
        sheet.row(y, [*cells, (440, "$" + english(line.unit_price), True), (539, "$" + english(line.total), True)])
        y += 20
    sheet.rule(y - 8)
    sheet.row(y + 10, [(360, "Subtotal", False), (539, "$" + english(ANALYTICS.net), True)])
    sheet.row(y + 26, [(360, "Sales tax (8.25%)", False), (539, "$" + english(ANALYTICS.tax), True)])
    sheet.row(y + 48, [(360, "Amount due (USD)", False), (539, "$" + english(ANALYTICS.total), True)], bold=True)
    sheet.at(56, y + 90, "Net 30. Checks payable to Bluefern Analytics Inc.")
    return sheet.finish()


BOOKS = Bill(
    "RE-25-1180",
    "2025-04-09",
    "EUR",
    (
        Line("Wanderatlas Harz, gebunden", "3", "24.90", "7"),
        Line("Kochen mit Wurzeln, Taschenbuch", "2", "14.50", "7"),
        Line("Lesezeichen Leder", "10", "3.20", "19"),
        Line("Geschenkpapier, Rolle", "4", "2.75", "19"),
    ),
)


def books_invoice() -> bytes:
    """A German table with a column for the tax rate, and sums for two rates."""
    sheet = Sheet()
    sheet.at(56, 70, "Buchhandlung Morgenstern & Tal GmbH", size=16, bold=True)
    sheet.block(56, 88, ["Lindenallee 12 · 38640 Goslar", "USt-IdNr. DE123456788"])
    sheet.block(56, 150, ["Gemeindebücherei Altenrode", "Frau Petra Vollmer", "Am Anger 3", "38871 Altenrode"])
    sheet.at(56, 240, "Rechnung", size=16, bold=True)
    sheet.row(262, [(56, "Rechnungsnummer:", False), (170, BOOKS.number, False)])
    sheet.row(276, [(56, "Rechnungsdatum:", False), (170, "09.04.2025", False)])
    sheet.row(290, [(56, "Lieferdatum:", False), (170, "07.04.2025", False)])
    heads = [(56.0, "Pos.", False), (86.0, "Bezeichnung", False), (330.0, "Menge", True), (400.0, "Einzelpreis", True)]
    sheet.row(320, [*heads, (450, "MwSt.", True), (539, "Gesamt EUR", True)], bold=True)
    sheet.rule(326)
    y = 342.0
    for position, line in enumerate(BOOKS.lines, 1):
        cells = [(56.0, str(position), False), (86.0, line.description, False), (330.0, line.quantity, True)]
        sheet.row(y, [*cells, (400, german(line.unit_price), True), (450, line.rate + " %", True)])
        sheet.at(539, y, german(line.total), right=True)
        y += 18
    sheet.rule(y - 8)
    sheet.row(y + 10, [(300, "Summe netto", False), (539, german(BOOKS.net), True)])
    for row, (rate, (net, tax)) in enumerate(BOOKS.taxes.items()):
        label = f"zzgl. {rate} % MwSt. auf {german(net)}"
        sheet.row(y + 26 + 16 * row, [(300, label, False), (539, german(tax), True)])
    sheet.row(y + 62, [(300, "Rechnungsbetrag", False), (539, german(BOOKS.total) + " EUR", True)], bold=True)
    sheet.at(56, y + 110, "Zahlbar bis 09.05.2025 ohne Abzug auf IBAN DE89 3704 0044 0532 0130 00.")
    return sheet.finish()


PAINTER = Bill("2025/064", "2025-06-24", "EUR", (Line("Malerarbeiten Treppenhaus", "1", "1860.00", "19"),))


def painter_letter() -> bytes:
    """An invoice written as a letter, with its sums in sentences."""
    sheet = Sheet()
    sheet.block(340, 70, ["Malerbetrieb Ostrowski", "Inhaber Karl Ostrowski", "Färbergasse 8", "04109 Leipzig"])
    sheet.block(56, 150, ["Hausverwaltung Sonnwend GmbH", "Herrn Tobias Reuter", "Parkstraße 41", "04179 Leipzig"])
    sheet.at(400, 230, "Leipzig, den 24. Juni 2025")
    sheet.at(56, 260, f"Rechnung Nr. {PAINTER.number}", size=12, bold=True)
    text = [
        "Sehr geehrter Herr Reuter,",
        "",
        "für die Malerarbeiten im Treppenhaus der Brunnenstraße 5, ausgeführt vom 10. bis 13. Juni 2025,",
        f"berechnen wir Ihnen wie vereinbart pauschal {german(PAINTER.net)} Euro.",
        "",
        f"Hinzu kommen 19 % Umsatzsteuer, das sind {german(PAINTER.tax)} Euro.",
        f"Der Gesamtbetrag beläuft sich somit auf {german(PAINTER.total)} Euro.",
        "",
        "Bitte überweisen Sie diesen Betrag bis zum 8. Juli 2025 auf unser Konto",
        "IBAN DE75 5121 0800 1245 1261 99. Unsere Steuernummer lautet 231/123/45678.",
        "",
        "Mit freundlichen Grüßen",
        "Karl Ostrowski",
    ]
    sheet.block(56, 290, text, size=11, step=16)
    return sheet.finish()


TOOLS = Bill(
    "B-250912",
    "2025-07-30",
    "EUR",
    tuple(
        Line(f"{name} {size}", quantity, price, "19")
        for name, quantity, price in (
            ("Sechskantschraube verzinkt", "200", "0.14"),
            ("Unterlegscheibe Edelstahl", "500", "0.06"),
            ("Spannplattenschraube", "300", "0.09"),
            ("Holzdübel Buche", "100", "0.05"),
            ("Steinbohrer lang", "6", "7.95"),
            ("Handgewindebohrer", "25", "1.35"),
        )
        for size in ("M6", "M8", "M10", "M12", "M16", "M20")
    ),
)
_TOOLS_ON_PAGE_ONE = 24


def tools_invoice() -> bytes:
    """Two pages; the sum of the first is carried over to the second."""
    sheet = Sheet()
    _tools_head(sheet, page=1)
    sheet.block(56, 130, ["Schreinerei Haberkorn", "Industriering 19", "97070 Würzburg"])
    first, second = TOOLS.lines[:_TOOLS_ON_PAGE_ONE], TOOLS.lines[_TOOLS_ON_PAGE_ONE:]
    carried = german(sum((line.total for line in first), Decimal(0)))
    y = _tools_rows(sheet, first, y=220, start=1)
    sheet.row(y + 8, [(300, "Übertrag auf Seite 2", False), (539, carried, True)], bold=True)
    sheet.next_page()
    _tools_head(sheet, page=2)
    sheet.row(130, [(300, "Übertrag von Seite 1", False), (539, carried, True)], bold=True)
    y = _tools_rows(sheet, second, y=160, start=_TOOLS_ON_PAGE_ONE + 1)
    sheet.row(y + 10, [(300, "Nettobetrag", False), (539, german(TOOLS.net), True)])
    sheet.row(y + 26, [(300, "Umsatzsteuer 19 %", False), (539, german(TOOLS.tax), True)])
    sheet.row(y + 46, [(300, "Gesamtbetrag EUR", False), (539, german(TOOLS.total), True)], bold=True)
    bank = "Bankverbindung: IBAN DE89 3704 0044 0532 0130 00 · USt-IdNr. DE123456788"
    sheet.block(56, y + 90, ["Zahlbar innerhalb von 14 Tagen netto.", bank])
    return sheet.finish()


def _tools_head(sheet: Sheet, *, page: int) -> None:
    sheet.at(56, 60, "Werkzeughandel Brückner KG", size=14, bold=True)
    sheet.at(56, 76, "Am Güterbahnhof 2, 97080 Würzburg", size=9)
    sheet.row(100, [(300, f"Rechnung {TOOLS.number}", False), (420, "vom 30.07.2025", False)], bold=True)
    sheet.at(539, 76, f"Seite {page} von 2", size=9, right=True)


def _tools_rows(sheet: Sheet, lines: Sequence[Line], *, y: float, start: int) -> float:
    heads = [(56.0, "Pos", False), (90.0, "Artikel", False), (360.0, "Menge", True)]
    sheet.row(y, [*heads, (450, "Preis", True), (539, "Betrag", True)], bold=True)
    sheet.rule(y + 5)
    for position, line in enumerate(lines, start):
        y += 17
        cells = [(56.0, str(position), False), (90.0, line.description, False), (360.0, line.quantity + " St", True)]
        sheet.row(y, [*cells, (450, german(line.unit_price), True), (539, german(line.total), True)])
    sheet.rule(y + 8)
    return y + 16


BAKERY = Bill(
    "FA-2025-0318",
    "2025-02-21",
    "EUR",
    (
        Line("Panier de pains assortis", "40", "18.50", "5.5"),
        Line("Brioche tressée", "25", "9.20", "5.5"),
        Line("Location de présentoir, la semaine", "3", "95.00", "20"),
    ),
)


def bakery_invoice() -> bytes:
    """French, two tax rates, decimal comma and blanks between thousands."""
    sheet = Sheet()
    sheet.at(56, 70, "Boulangerie Verveine & Fils SARL", size=16, bold=True)
    sheet.block(56, 88, ["14, rue des Glycines", "69004 Lyon", "N° TVA : FR44732829320"])
    sheet.at(380, 70, "FACTURE", size=18, bold=True)
    sheet.row(110, [(380, "Facture n° :", False), (460, BAKERY.number, False)])
    sheet.row(124, [(380, "Date :", False), (460, "21/02/2025", False)])
    sheet.row(138, [(380, "Échéance :", False), (460, "23/03/2025", False)])
    sheet.block(56, 160, ["Client :", "Hôtel du Vieux Tilleul", "3, place de l'Église", "69110 Sainte-Foy-lès-Lyon"])
    heads = [(56.0, "Désignation", False), (310.0, "Qté", True), (390.0, "Prix unitaire HT", True)]
    sheet.row(250, [*heads, (440, "TVA", True), (539, "Montant HT", True)], bold=True)
    sheet.rule(256)
    y = 272.0
    for line in BAKERY.lines:
        rate = line.rate.replace(".", ",") + " %"
        cells = [(56.0, line.description, False), (310.0, line.quantity, True)]
        sheet.row(y, [*cells, (390, french(line.unit_price), True), (440, rate, True), (539, french(line.total), True)])
        y += 18
    sheet.rule(y - 8)
    sheet.row(y + 10, [(320, "Total HT", False), (539, french(BAKERY.net) + " €", True)])
    for row, (rate, (_, tax)) in enumerate(BAKERY.taxes.items()):
        label = f"TVA {rate.replace('.', ',')} %"
        sheet.row(y + 26 + 16 * row, [(320, label, False), (539, french(tax) + " €", True)])
    sheet.row(y + 62, [(320, "Total TTC à payer", False), (539, french(BAKERY.total) + " €", True)], bold=True)
    sheet.at(56, y + 110, "Règlement par virement : IBAN FR14 2004 1010 0505 0001 3M02 606")
    return sheet.finish()


CLEANING = Bill(
    "AR-5521",
    "2025-08-05",
    "CHF",
    (
        Line("Unterhaltsreinigung Büro, Juli 2025", "4", "310.00", "8.1"),
        Line("Fensterreinigung aussen", "1", "480.00", "8.1"),
    ),
    state="review",
    misprint=Decimal("100.00"),
)


def cleaning_invoice() -> bytes:
    """Swiss francs; the printed total is a hundred francs more than net and tax."""
    sheet = Sheet()
    sheet.at(56, 70, "Firnblick Reinigungen AG", size=16, bold=True)
    sheet.block(56, 88, ["Seestrasse 77, 8800 Thalwil", "CHE-123.456.788 MWST"])
    sheet.block(330, 150, ["Treuhand Wyssmatt GmbH", "Bahnhofplatz 1", "6300 Zug"])
    sheet.at(56, 230, f"Rechnung {CLEANING.number}", size=14, bold=True)
    sheet.row(250, [(56, "Datum:", False), (140, "05.08.2025", False)])
    sheet.row(264, [(56, "Zahlbar bis:", False), (140, "04.09.2025", False)])
    heads = [(56.0, "Leistung", False), (350.0, "Anzahl", True), (440.0, "Ansatz", True)]
    sheet.row(300, [*heads, (539, "Betrag CHF", True)], bold=True)
    sheet.rule(306)
    y = 322.0
    for line in CLEANING.lines:
        cells = [(56.0, line.description, False), (350.0, line.quantity, True)]
        sheet.row(y, [*cells, (440, swiss(line.unit_price), True), (539, swiss(line.total), True)])
        y += 18
    sheet.rule(y - 8)
    sheet.row(y + 10, [(350, "Zwischentotal", False), (539, swiss(CLEANING.net), True)])
    sheet.row(y + 26, [(350, "MWST 8.1 %", False), (539, swiss(CLEANING.tax), True)])
    sheet.row(y + 46, [(350, "Total CHF", False), (539, swiss(CLEANING.total), True)], bold=True)
    sheet.at(56, y + 90, "Konto: IBAN CH93 0076 2011 6238 5295 7")
    return sheet.finish()


RECEIPT = Bill(
    "000482",
    "2025-09-12",
    "GBP",
    (
        Line("Flat white", "2", "3.40"),
        Line("Cheese scone", "1", "2.95"),
        Line("Soup of the day", "1", "6.20"),
    ),
)


def receipt() -> bytes:
    """What a till prints: narrow, no tax lines."""
    lines = ["THE COPPER KETTLE".center(36), "4 Weavers Yard, York YO1 9AB".center(36), ""]
    lines += [f"Receipt no. {RECEIPT.number}", "12/09/2025 13:42    Till 2", "-" * 36]
    lines += [f"{line.quantity} x {line.description:<24}{english(line.total):>8}" for line in RECEIPT.lines]
    lines += ["-" * 36, f"{'TOTAL GBP':<28}{english(RECEIPT.total):>8}", f"{'Card':<28}{english(RECEIPT.total):>8}"]
    lines += ["", "Not registered for VAT".center(36), "Thank you, see you soon!".center(36), ""]
    return "\n".join(lines).encode()


BIKES = Bill(
    "F-1029",
    "2025-05-27",
    "EUR",
    (
        Line("Inspektion Lastenrad", "1", "89.00", "19"),
        Line("Bremsbeläge, Paar", "2", "17.50", "19"),
        Line("Fahrradschlauch 26 Zoll", "2", "6.90", "19"),
    ),
)


def bikes_invoice() -> bytes:
    """A German text file from an old program: Windows encoding and line ends."""
    lines = ["Fahrradwerkstatt Kettenglück", "Uferstraße 31, 24103 Kiel", "USt-IdNr. DE123456788", ""]
    lines += ["Rechnung an: Bäckerei Süßmilch, Küterstraße 6, 24103 Kiel", ""]
    lines += [f"Rechnungs-Nr.: {BIKES.number}", "Datum:         27.05.2025", "Fällig am:     10.06.2025", ""]
    lines += [f"{'Menge':<7}{'Bezeichnung':<30}{'Einzelpreis':>12}{'Betrag':>12}", "-" * 61]
    for line in BIKES.lines:
        prices = f"{german(line.unit_price):>12}{german(line.total):>12}"
        lines.append(f"{line.quantity:<7}{line.description:<30}{prices}")
    lines += ["-" * 61, f"{'Nettobetrag':<49}{german(BIKES.net):>12}", f"{'19 % MwSt.':<49}{german(BIKES.tax):>12}"]
    lines += [f"{'Gesamtbetrag in €':<49}{german(BIKES.total):>12}", "", "IBAN: DE75 5121 0800 1245 1261 99", ""]
    return "\r\n".join(lines).encode("cp1252")


TRANSLATION = Bill(
    "TL-2025-19",
    "2025-06-02",
    "EUR",
    (
        Line("Translation of user manual DE-EN, words", "8400", "0.12", "23"),
        Line("Proofreading, hours", "5", "48.00", "23"),
    ),
)


def translation_invoice() -> bytes:
    """English in euros, with the labels as the first column of a table."""
    sheet = Sheet()
    sheet.at(56, 66, "TAX INVOICE", size=20, bold=True)
    facts = {
        "From": "Larkfield Translations Ltd, 9 Canal Walk, Galway H91 X2Y3, Ireland",
        "To": "Nordkante Maschinenbau GmbH, Hafenstr. 4, 28195 Bremen, Germany",
        "Invoice no.": TRANSLATION.number,
        "Date of issue": "2 June 2025",
        "Payment terms": "14 days, by 16 June 2025",
    }
    for row, (label, value) in enumerate(facts.items()):
        sheet.row(100 + 18 * row, [(56, label, False), (150, value, False)])
    heads = [(56.0, "Service", False), (340.0, "Quantity", True), (430.0, "Price EUR", True)]
    sheet.row(220, [*heads, (539, "Amount EUR", True)], bold=True)
    sheet.rule(226)
    y = 244.0
    for line in TRANSLATION.lines:
        quantity = f"{int(line.quantity):,}"
        cells = [(56.0, line.description, False), (340.0, quantity, True)]
        sheet.row(y, [*cells, (430, english(line.unit_price), True), (539, english(line.total), True)])
        y += 18
    sheet.rule(y - 8)
    sheet.row(y + 10, [(340, "Total excl. VAT", False), (539, english(TRANSLATION.net), True)])
    sheet.row(y + 26, [(340, "VAT 23%", False), (539, english(TRANSLATION.tax), True)])
    sheet.row(y + 46, [(340, "Total incl. VAT", False), (539, "EUR " + english(TRANSLATION.total), True)], bold=True)
    return sheet.finish()


CATERING = Bill("SV-77", "2025-04-30", "GBP", (Line("Buffet for 30 guests", "30", "21.50", "20"),))


def catering_invoice_with_a_hole() -> bytes:
    """A transfer that lost most of the file; begin and end are there, so that nobody waits for the rest."""
    sheet = Sheet()
    sheet.at(56, 70, "Seaview Catering", size=18, bold=True)
    sheet.block(56, 100, [f"Invoice {CATERING.number}", "30 April 2025", "Buffet for 30 guests"])
    sheet.row(170, [(56, "Total GBP", False), (200, english(CATERING.total), False)])
    whole = sheet.finish()
    return whole[:400] + whole[-60:]


def facts_of(bill: Bill, *, due: str, vendor: tuple[str, str, str, str], vat_id: str, iban: str, buyer: str) -> Facts:
    """Return what an e-invoice says of a bill with one tax rate; a vendor is name, street, postcode and city."""
    name, street, postcode, city = vendor
    return Facts(
        number=bill.number,
        date=bill.date,
        due=due,
        currency=bill.currency,
        net=str(bill.net),
        tax=str(bill.tax),
        total=str(bill.total),
        rate=bill.lines[0].rate,
        vendor=name,
        street=street,
        postcode=postcode,
        city=city,
        vat_id=vat_id,
        iban=iban,
        buyer=buyer,
        lines=tuple(Item(line.description, line.quantity, line.unit_price, str(line.total)) for line in bill.lines),
    )


SAILMAKER = Bill(
    "2025-0417",
    "2025-09-02",
    "EUR",
    (
        Line("Großsegel, Reparatur der Lieken", "1", "340.00", "19"),
        Line("UV-Schutz für Rollgenua, neu", "1", "265.50", "19"),
        Line("Segelsack nach Maß", "2", "48.25", "19"),
    ),
)


def sailmaker_invoice() -> bytes:
    """A page for people with the same invoice as XML inside it: Factur-X, also known as ZUGFeRD."""
    sheet = Sheet()
    sheet.at(56, 70, "Segelmacherei Windholz GmbH", size=16, bold=True)
    sheet.block(56, 88, ["Hafenkai 9 · 18439 Stralsund", "USt-IdNr. DE136695976"])
    sheet.block(56, 150, ["Yachtcharter Boddenblick KG", "Am Bollwerk 21", "17438 Wolgast"])
    sheet.at(56, 240, "Rechnung", size=16, bold=True)
    sheet.row(262, [(56, "Rechnungsnummer:", False), (170, SAILMAKER.number, False)])
    sheet.row(276, [(56, "Rechnungsdatum:", False), (170, "02.09.2025", False)])
    heads = [(56.0, "Leistung", False), (330.0, "Menge", True), (430.0, "Einzelpreis", True)]
    sheet.row(320, [*heads, (539, "Gesamt EUR", True)], bold=True)
    sheet.rule(326)
    y = 342.0
    for line in SAILMAKER.lines:
        cells = [(56.0, line.description, False), (330.0, line.quantity, True)]
        sheet.row(y, [*cells, (430, german(line.unit_price), True), (539, german(line.total), True)])
        y += 18
    sheet.rule(y - 8)
    sheet.row(y + 10, [(300, "Summe netto", False), (539, german(SAILMAKER.net), True)])
    sheet.row(y + 26, [(300, "zzgl. 19 % MwSt.", False), (539, german(SAILMAKER.tax), True)])
    sheet.row(y + 46, [(300, "Rechnungsbetrag", False), (539, german(SAILMAKER.total) + " EUR", True)], bold=True)
    sheet.at(56, y + 90, "Zahlbar bis 16.09.2025 auf IBAN DE75 5121 0800 1245 1261 99.")
    facts = facts_of(
        SAILMAKER,
        due="2025-09-16",
        vendor=("Segelmacherei Windholz GmbH", "Hafenkai 9", "18439", "Stralsund"),
        vat_id="DE136695976",
        iban="DE75512108001245126199",
        buyer="Yachtcharter Boddenblick KG",
    )
    return attach(sheet.finish(), ("factur-x.xml", cii(facts)))


NURSERY = Bill(
    "RG-7731",
    "2025-10-14",
    "EUR",
    (
        Line("Winterlinde, Hochstamm 18-20", "12", "289.00", "7"),
        Line("Baumpfahl mit Gurt", "12", "31.40", "7"),
    ),
)


def nursery_invoice() -> bytes:
    """An invoice to a public buyer, which is XML and nothing else: XRechnung."""
    facts = facts_of(
        NURSERY,
        due="2025-11-13",
        vendor=("Baumschule Lindenhof eG", "Feldweg 3", "26160", "Bad Zwischenahn"),
        vat_id="DE298714605",
        iban="DE02120300000000202051",
        buyer="Stadt Altenrode, Grünflächenamt",
    )
    return ubl(facts).encode()


def newsletter() -> bytes:
    """No invoice at all, although it speaks of money."""
    sheet = Sheet()
    sheet.at(56, 70, "Neighbours of Elm Square", size=18, bold=True)
    text = [
        "Newsletter, autumn 2025",
        "",
        "Dear neighbours,",
        "",
        "the summer fair was a great success: about 240 people came, and the cake stall alone raised",
        "312 pounds for the playground. Many thanks to everyone who baked, carried and washed up.",
        "",
        "The reading evenings start again on 2 October, every Thursday at seven, in the old fire station.",
        "Bring a book that you would like to talk about, or just come and listen.",
        "",
        "We are looking for two people to look after the herb garden. No experience is needed.",
        "",
        "See you soon,",
        "Agnes and Tom",
    ]
    sheet.block(56, 110, text, size=11, step=17)
    return sheet.finish()


@dataclass(frozen=True)
class Sample:
    """Join a file's name, its maker and what the tests know of it."""

    name: str
    make: Callable[[], bytes]
    bill: Bill | None = None
    truth: dict[str, str | None] = field(default_factory=dict)

    def expected(self) -> dict[str, str | None]:
        return {**(self.bill.truth() if self.bill else {}), **self.truth}


_UNKNOWN: dict[str, str | None] = dict.fromkeys(("number", "date", "currency", "total"))

SAMPLES = (
    Sample("halden-hosting-2025-041.pdf", hosting_invoice, HOSTING),
    Sample("halden-hosting-credit-note.pdf", hosting_credit_note, HOSTING_CREDIT),
    Sample("bluefern-analytics-10077.pdf", analytics_invoice, ANALYTICS),
    Sample("buchhandlung-morgenstern-april.pdf", books_invoice, BOOKS),
    Sample("maler-ostrowski-treppenhaus.pdf", painter_letter, PAINTER),
    Sample("brueckner-werkzeug-juli.pdf", tools_invoice, TOOLS),
    Sample("boulangerie-verveine-fevrier.pdf", bakery_invoice, BAKERY),
    Sample("firnblick-reinigung-juli.pdf", cleaning_invoice, CLEANING),
    Sample("windholz-segelreparatur.pdf", sailmaker_invoice, SAILMAKER),
    Sample("baumschule-lindenhof-xrechnung.xml", nursery_invoice, NURSERY),
    Sample("larkfield-translations-19.pdf", translation_invoice, TRANSLATION),
    Sample("copper-kettle-receipt.txt", receipt, RECEIPT),
    Sample("kettenglueck-lastenrad.txt", bikes_invoice, BIKES),
    Sample(
        "seaview-catering-damaged.pdf",
        catering_invoice_with_a_hole,
        truth={**_UNKNOWN, "kind": None, "state": "failed"},
    ),
    Sample("elm-square-newsletter.pdf", newsletter, truth={**_UNKNOWN, "kind": "other", "state": "done"}),
    Sample(
        "scan-0098-from-mail.pdf",
        hosting_invoice,
        HOSTING,
        truth={"duplicate_of": "halden-hosting-2025-041.pdf"},
    ),
)


def main() -> None:
    """Write all samples and what is true of them."""
    FOLDER.mkdir(exist_ok=True)
    for sample in SAMPLES:
        (FOLDER / sample.name).write_bytes(sample.make())
    truth = {sample.name: sample.expected() for sample in SAMPLES}
    (FOLDER / "truth.json").write_text(json.dumps(truth, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
