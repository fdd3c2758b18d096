"""The words invoices use, by what they announce; languages share one table because documents mix them.

Words are written without case and accents, as `layout.fold` leaves them. A label's weight says how surely the value
beside it is the one looked for, between values of the same field only.
"""

from __future__ import annotations

from collections.abc import Mapping


def _words(block: str) -> tuple[str, ...]:
    return tuple(" ".join(word.split()) for word in block.split("|"))


LANGUAGES = ("en", "de", "fr", "nl", "pl", "pt", "es", "it")

NUMBER: Mapping[int, tuple[str, ...]] = {
    10: _words(
        """
        invoice number | invoice no | invoice nr | invoice num | invoice # | invoice id | inv no | inv # |
        bill number | bill no | credit note number | credit note no | credit memo no | rechnungsnummer |
        rechnungs-nr | rechnungsnr | rechnung nr | rechnung-nr | rechnungs nr | re-nr | gutschriftsnummer |
        gutschrift nr | belegnummer | beleg-nr | numero de facture | n° de facture | n° facture | no de facture |
        facture n° | facture no | facture numero | numero de la facture | avoir n° | facture # | factuurnummer |
        factuurnr | factuur nr | factuur nummer | numer faktury | nr faktury | faktura nr | faktura vat nr |
        faktura numer | faktura vat numer | numero da fatura | fatura n° | fatura no | fatura nº |
        numero da nota | nfc-e n° | nf-e n° | nota fiscal n° | n° da nota | factura n° | factura nº |
        numero de factura | n° de factura | nº de factura | nº factura | no. factura | num. factura |
        numero factura | fattura n° | fattura n | fattura nr | numero fattura | n. fattura | n° fattura
        """
    ),
    6: _words(
        """
        facture | rechnung | invoice | avoir | factuur | faktura | fatura | factura | fattura | receipt no |
        receipt number | gutschrift | rechnungskorrektur | handelsrechnung | credit note | creditnota |
        transaction | receipt # | bon nr | document number | document no | belegnr | numero documento | nfc-e |
        nf-e
        """
    ),
    3: _words(
        """
        nr | n° | nº | no. | number | numero | nummer | numer | #
        """
    ),
}

# Numbers of something else; a label that stands within such words announces nothing.
OTHER_NUMBERS = _words(
    """
    customer | client | kunden | klant | klient | cliente | order | bestell | commande | bon de | contrat | p.o. |
    po number | account | konto | tax | vat | tva | steuer | ust | btw | nip | iva | phone | tel | fax | serie |
    liefer | associee | liee | item | artikel | article | art. | ksef | supplier | lieferant | lief- | reference |
    projet | project | registr | siret | siren | gln | delivery | globale | rachunku | telefon | zamow |
    previous | related | original | ihre nummer | card | invoice date | due
    """
)

DATE: Mapping[int, tuple[str, ...]] = {
    10: _words(
        """
        invoice date | date of invoice | issue date | date of issue | issued at | issued on | date issued |
        bill date | invoice dated | rechnungsdatum | rechnung vom | ausstellungsdatum | belegdatum |
        date de facture | date de facturation | date de la facture | date d'emission | date facture |
        factuurdatum | datum factuur | data wystawienia | data wyst | data faktury | data da fatura |
        data de emissao | data da emissao | emitida em | emissao | data emissao | fecha de factura |
        fecha factura | fecha de emision | fecha de expedicion | data fattura | data emissione |
        data di emissione | data documento
        """
    ),
    6: _words(
        """
        date | datum | data | fecha | vom | du | del | dated | z dnia | dnia
        """
    ),
}

DUE_DATE: Mapping[int, tuple[str, ...]] = {
    10: _words(
        """
        due date | payment due | due by | pay by | payable by | remit until | due on | payment date | date due |
        falligkeit | fallig am | falligkeitsdatum | zahlbar bis | netto bis | zahlungsziel |
        uberweisen sie bis zum | zu zahlen bis | spatestens | echeance | date d'echeance | a payer avant |
        payable le | date limite de paiement | vervaldatum | te betalen voor | uiterste betaaldatum |
        betaaldatum | termin platnosci | termin zaplaty | vencimento | data de vencimento | pagar ate |
        vencimiento | fecha de vencimiento | scadenza | data scadenza | data di scadenza
        """
    ),
    5: _words(
        """
        due | vencto
        """
    ),
}

# A date behind one of these is neither the invoice's nor the due date.
OTHER_DATES = _words(
    """
    delivery | liefer | leistung | livraison | lever | service period | bestellung | order date | associee |
    debut | fin de | dostawy | sprzedazy | version | skonto | dokonania | reglement | entrega | recebimento |
    printed | period | birth | consegna | authori | autoriza | bestell | commande
    """
)

TOTAL: Mapping[int, tuple[str, ...]] = {
    10: _words(
        """
        grand total | total incl | total including | total inc | invoice total | total with tax | gross total |
        gross amount | total gross | total amount | gesamtbetrag brutto | bruttosumme | bruttobetrag |
        rechnungsbetrag | rechnungssumme brutto | summe inkl | gesamt brutto | gesamtsumme brutto |
        gesamtbetrag inkl | brutto gesamt | endbetrag | summe brutto | total ttc | montant ttc | total t.t.c |
        montant total ttc | totaal incl | totaalbedrag | totaal inclusief | factuurbedrag | razem brutto |
        wartosc brutto | kwota naleznosci ogolem | naleznosc ogolem | kwota brutto | suma brutto | total com iva |
        valor total da nota | valor a pagar | total da fatura | total da nota | total con iva | total factura |
        importe total | totale fattura | totale documento | totale ivato | totale iva inclusa | total iva incl
        """
    ),
    8: _words(
        """
        total | gesamtbetrag | gesamtsumme | gesamt | totaal | razem | totale | summe | suma | total eur |
        total general | total usd | valor total
        """
    ),
    6: _words(
        """
        amount due | total due | balance due | due payable | total payable | amount payable | zahlbetrag |
        zu zahlen | zu zahlender betrag | net a payer | a payer | te betalen | do zaplaty | a pagar |
        total a pagar | da pagare | netto a pagare | balance | pay this amount | offener betrag | solde a payer
        """
    ),
}

# Totals of something else: with one of these words the sum is not the invoice's.
OTHER_TOTALS = _words(
    """
    subtotal | sub total | sub-total | zwischensumme | zwischentotal | sous-total | subtotaal | discount | rabatt |
    remise | previous | points | weight | total ht | total tax | total vat | tax total | vat total | netto |
    excl | exkl | hors | total tva | saldo | base | total net | net total | net amount | taxes | total before |
    ohne | no tax | zuschlage | abschlage | zu-/ | items | quantity | shipping | btw | steuer | dos servicos |
    dos produtos | descontos | tributos | itens | total iva | imponibile | imposta | sin iva | sem iva | pozycj |
    positionssumme | due date | paid | kwota podatku
    """
)

# A tax word beside one of these is no sum.
OTHER_TAXES = _words(
    """
    incl | inkl | excl | exkl | rate | before | reg | id | no. | n° | nº | nr | number | identnr | base |
    hors | taux | satz
    """
)

NET: Mapping[int, tuple[str, ...]] = {
    10: _words(
        """
        net total | total net | net amount | amount before tax | total ex vat | total exc | zwischensumme ohne |
        netto-summe | summe ohne mwst | betrag netto | warenwert netto | montant hors taxe |
        total hors tva | total hors taxe | total hors taxes |
        sous-total ht | importe neto | total neto | valor liquido | totale netto | netto bedrag | razem bez vat |
        exclusief btw | excl. btw | excl. vat | excl. tax |
        zonder btw | total excl | subtotal excl | total before tax | total without tax |
        taxable amount | nettobetrag | nettosumme | summe netto | rechnungssumme netto | gesamt netto |
        rechnungssumme ohne ust | rechnungsbetrag netto | netto gesamt | gesamtbetrag netto |
        zwischensumme netto | total ht | total h.t | montant ht | totaal excl | totaal exclusief |
        subtotaal excl | wartosc netto | kwota netto | razem netto | suma netto | total sem iva | base imponible |
        base tributavel | imponibile | totale imponibile | total sin iva
        """
    ),
    7: _words(
        """
        subtotal | sub total | sub-total | zwischensumme | zwischentotal | sous-total | sous total | subtotaal |
        netto | net | subtotale | base imponible
        """
    ),
    5: _words(
        """
        positionssumme | less discount | subtotal less discount | net after discount | nach rabatt | apres remise
        """
    ),
}

TAX: Mapping[int, tuple[str, ...]] = {
    10: _words(
        """
        total tax | tax total | total vat | vat total | vat amount | sales tax | tax amount | summe umsatzsteuer |
        steuerbetrag | mehrwertsteuer | umsatzsteuer | mwst | zuzugl. ust | total tva | montant tva |
        total taxes | btw | btw bedrag | kwota vat | kwota podatku | podatek vat | total iva | valor do iva |
        imposta | totale iva | importe iva | gst | hst | iva
        """
    ),
    7: _words(
        """
        tax | vat | tva | ust | podatek
        """
    ),
}

ORDER = _words(
    """
    purchase order number | purchase order no | purchase order | your order no | your order number | your order |
    order number | order no | order ref | order | po number | po no | p.o. number | p.o. no | po | customer order |
    bestellnummer | bestell-nr | bestellnr | bestellung nr | bestellung | ihre bestellung | ihre bestellung nr |
    ihre bestellnummer | bestellung nr. kunde | auftragsnummer | auftrags-nr | auftragsnr | auftrag nr | commande n° |
    n° commande | n° de commande | numero de commande | votre commande | bon de commande | bestelnummer |
    bestelling nr | ordernummer | ordine n | vs. ordine | numero ordine | pedido n° | n° pedido | numero de pedido |
    zamowienie nr | numer zamowienia | nr zamowienia | encomenda n°
    """
)

BUYER_REFERENCE = _words(
    """
    your reference | your ref | customer reference | buyer reference | client reference | leitweg-id | leitwegid |
    ihr zeichen | ihre referenz | kundenreferenz | votre reference | votre ref | reference client | uw referentie |
    uw kenmerk | vs. riferimento | vostro riferimento | su referencia | sua referencia
    """
)

DELIVERY_DATE = _words(
    """
    delivery date | date of delivery | delivered on | date of supply | service date | date of service | supply date |
    lieferdatum | leistungsdatum | liefer-/leistungsdatum | liefer- und leistungsdatum | leistungs-/lieferdatum |
    liefertag | geliefert am | date de livraison | livre le | date de prestation | leverdatum | datum levering |
    data consegna | data di consegna | fecha de entrega | data de entrega | data sprzedazy | data dostawy |
    data dokonania
    """
)

ALLOWANCE = _words(
    """
    discount | less discount | allowance | rabatt | nachlass | preisnachlass | sondernachlass | abzgl. rabatt |
    abzgl. sondernachlass | abschlag | remise | ristourne | korting | sconto | descuento | desconto | rabat
    """
)

CHARGE = _words(
    """
    shipping | shipping & handling | shipping and handling | freight | postage | packing | delivery charge | handling |
    surcharge | zuschlag | versandkosten | versand | zzgl. versandkosten | fracht | frachtkosten | porto |
    porto und verpackung | verpackung | frais de port | frais de livraison | livraison | port | verzendkosten |
    spese di trasporto | spese di spedizione | gastos de envio | portes | frete | koszt wysylki | koszty wysylki
    """
)

PREPAID = _words(
    """
    amount paid | already paid | paid | prepaid | deposit paid | less deposit | deposit | down payment |
    payments received | payment received | bereits gezahlt | bereits bezahlt | anzahlung | abzgl. anzahlung |
    abzuglich anzahlung | geleistete anzahlung | vorauszahlung | acompte | acompte verse | deja paye | deja regle |
    reeds betaald | reeds voldaan | aanbetaling | acconto | acconto versato | anticipo | ya pagado | ja pago |
    zaplacono | zaliczka
    """
)

PAYABLE = _words(
    """
    amount due | total due | balance due | due payable | total payable | amount payable | zahlbetrag | zu zahlen |
    zu zahlender betrag | net a payer | reste a payer | te betalen | do zaplaty | a pagar | total a pagar | da pagare |
    netto a pagare | pay this amount | offener betrag | restbetrag | solde a payer
    """
)

CURRENCY = _words(
    """
    currency | wahrung | betrage in | devise | monnaie | valuta | waluta | moeda | moneda | divisa | amounts in
    """
)

# What a sign may stand for; where it may be several, a code or a bank account's country in the document decides.
CURRENCY_SIGNS: Mapping[str, tuple[str, ...]] = {
    "R$": ("BRL",),
    "US$": ("USD",),
    "€": ("EUR",),
    "£": ("GBP", "EGP", "LBP"),
    "¥": ("JPY", "CNY"),
    "₹": ("INR",),
    "zł": ("PLN",),
    "Kč": ("CZK",),
    "Ft": ("HUF",),
    "$": ("USD", "CAD", "AUD", "NZD", "SGD", "HKD", "MXN"),
    "kr": ("SEK", "NOK", "DKK", "ISK"),
    "Fr": ("CHF",),
}

# Signs that mean the first of their currencies where nothing tells otherwise.
DEFAULT_SIGNS = ("£", "¥", "$")

CURRENCY_WORDS: Mapping[str, tuple[str, ...]] = {
    "euros": ("EUR",),
    "euro": ("EUR",),
    "pfund": ("GBP",),
    "pounds sterling": ("GBP",),
    "pounds": ("GBP",),
    "francs": ("CHF", "XOF", "XAF"),
    "franken": ("CHF",),
    "złotych": ("PLN",),
    "kronor": ("SEK",),
    "kroner": ("NOK", "DKK"),
}

VENDOR = _words(
    """
    seller | vendor | supplier | from | sold by | issued by | sender | von | de | da | absender | verkaufer |
    expediteur | emis par | remetente | mittente | afzender | van | wystawca |
    rechnungsersteller | lieferant | rechnungssteller | emetteur |
    vendeur | fournisseur | verkoper | leverancier | sprzedawca | vendedor | fornecedor | emitente | proveedor |
    emisor | fornitore | cedente | venditore
    """
)

BUYER = _words(
    """
    billing address | rechnungsadresse | rechnungsanschrift | adresse de facturation | factuuradres |
    bill to | billed to | sold to | credit to | credit note to | recipient | charged to | an | empfanger |
    auftraggeber | leistungsempfanger | facturer a | facture pour | facturado a | intestatario | aan | gutschrift an |
    buyer | customer name | customer | invoice to | to | client |
    kaufer/leistungsempfanger | kaufer | rechnungsempfanger | kunde | rechnung an | destinataire | acheteur |
    facture a | adresse du client | koper | klant | factuur aan | nabywca | comprador | cliente | destinatario |
    destinatario / remetente | facturar a | cessionario | acquirente | ship to
    """
)

# Words that announce a party only with a colon: alone they are countries or parts of a sentence.
LABELS_WITH_COLON = ("de", "da", "an", "van", "a")

# Labels of other things, none of which is anybody's name.
OTHER_LABELS = _words(
    """
    payment terms | terms | terms of payment | payment method | payment details | purchase order | po number |
    order number | order no | customer number | customer no | reference | your reference | our reference | vat number |
    vat id | tax id | bank details | delivery date | service period | project | phone | email | contact |
    zahlungsbedingungen | zahlungsart | bestellnummer | bestell-nr | kundennummer | kunden-nr | auftragsnummer |
    auftrags-nr | lieferdatum | leistungsdatum | leistungszeitraum | steuernummer | steuernr | ust-idnr | ust-id |
    ansprechpartner | bearbeiter | telefon | bankverbindung | unser zeichen | ihr zeichen | projekt | verwendungszweck |
    conditions de paiement | mode de paiement | reglement | numero client | n° client | votre reference | n° tva |
    numero de tva | objet | betalingsvoorwaarden | klantnummer | btw-nummer | warunki platnosci | forma platnosci |
    forma de pago | condiciones de pago | forma de pagamento | condicoes de pagamento | termini di pagamento |
    modalita di pagamento | partita iva | delivery address | shipping address | deliver to | lieferadresse |
    lieferanschrift | adresse de livraison | afleveradres | direccion de envio | adres dostawy | indirizzo di consegna
    """
)

# A line of a long list that repeats the sum of the page before.
CARRIED_OVER = _words(
    """
    ubertrag | carried forward | brought forward | carried over | a reporter | report de | transport de | overdracht |
    do przeniesienia | z przeniesienia | suma y sigue | riporto
    """
)

NAME = _words(
    """
    name | nazwa | nom | naam | nome | nombre | nome/razao social | razao social | firma | company |
    denominazione
    """
)

LEGAL_FORMS = _words(
    """
    gmbh | ag | kg | ug | ohg | e.k | ltd | limited | inc | llc | plc | corp | corporation | sarl | sas | s.a.s |
    sa | s.a | b.v | bv | n.v | nv | sp. z o.o | spolka | lda | ltda | s.r.l | srl | s.p.a | spa | s.l | sl |
    eurl | co
    """
)

# Lines that stand where a vendor's name may stand but are none.
NO_NAMES = _words(
    """
    invoice | rechnung | facture | factuur | faktura | fatura | factura | fattura | page | seite | logo | date |
    datum | www | http | @ | tel | fax | phone | receipt | danfe |
    avoir | tax invoice | credit note | gutschrift | original | copy | documento auxiliar
    """
)

INVOICE_WORDS = _words(
    """
    invoice | rechnung | facture | factuur | faktura | fatura | factura | fattura | nota fiscal | nfc-e |
    receipt | bill to | quittung | kassenbon | paragon | recu | ricevuta | recibo | rechnungskorrektur |
    gutschrift | avoir | credit note
    """
)

CREDIT_NOTE_WORDS = _words(
    """
    credit note | credit memo | gutschrift | rechnungskorrektur | korrekturrechnung | stornorechnung | avoir |
    facture d'avoir | creditnota | creditfactuur | faktura korygujaca | nota de credito | nota de abono |
    factura rectificativa | nota di credito | gutschriftsanzeige
    """
)

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "description": _words(
        """
        description | item description | item | product | produkt | beschreibung | bezeichnung |
        artikelbeschreibung | artikel | leistung | designation | libelle | nom & designation | omschrijving |
        artikelomschrijving | nazwa towaru lub uslugi | nazwa | opis | descricao | produto | descripcion |
        concepto | descrizione | name | service | details | particulars
        """
    ),
    "quantity": _words(
        """
        quantity | qty | qty/hr | menge | anzahl | quantite | qte | aantal | ilosc | quant | quantidade | qtd |
        cantidad | cant | quantita | qta | hours | units | stk
        """
    ),
    "unit_price": _words(
        """
        unit price | price | rate | einzelpreis | e-preis | preis | nettopreis | prix | prix unitaire | p.u. ht |
        pu ht | p.u | preis/ | prijs | stukprijs | eenheidsprijs | cena jedn | cena | vl unit | valor unitario |
        preco | precio | precio unitario | prezzo | prezzo unitario | unit cost | cost
        """
    ),
    "total": _words(
        """
        amount | total | line total | total price | betrag | summe | gesamt | gesamtpreis | entgelt | montant |
        montant ht | prix ht | total ht | bedrag | totaal | wartosc | wartosc netto | wartosc sprzedazy netto |
        kwota | vl total | valor total | valor | importe | importo | totale | total no tax | nettobetrag
        """
    ),
}
