"""Which questions say in their words that they follow on another."""

from __future__ import annotations

import pytest

from rsql_magic.context import follows

FOLLOWING = """
only those
only for JFK
Only those from Oslo, please
and by month
And in the north?
now as a chart
Now the same for 2014
now by carrier instead
also show the airline
the same for women
Same thing but per year
what about Oslo?
How about the smaller shops?
as a bar chart
by month and carrier
per region
without the cancelled ones
for JFK only
sorted by price
in percent
grouped by shop
just the top 5... just the first ten
which of them are late?
How many of those were late?
how many of them have two children
what are their names?
Plot it
plot that as a line
show them by month
Can you sort them by price?
Please explain it
explain the query
explain your answer
what does the last query do?
why is that?
why?
what does that mean?
use a left join instead
OK, and for Lima?
great, now as a table
exclude the cancelled ones instead
sort by price as before
Are they significant?
list their average age
more
shorter
go on
what else?
make it shorter
Is the previous result right? As in the previous answer
or only the blue ones
but without outliers
then by weekday
und nach Monat
Und im Norden?
nur die aus Oslo
jetzt als Diagramm
nun das gleiche für 2014
wie viele davon sind verspätet?
welche davon sind teuer?
Zeig das als Balkendiagramm
pro Monat
ohne die stornierten
sortiert nach Preis
was ist mit Lima?
aber ohne Ausreißer
Erkläre die letzte Abfrage
auch für Frauen
dasselbe pro Jahr
et par mois
Et pour Oslo ?
seulement ceux de Lima
maintenant sous forme de graphique
la même chose pour 2014
combien d'entre eux sont en retard ?
par mois
sans les annulés
montre-les par mois
Explique la requête précédente
mais par année
qu'en est-il de Lima ?
y por mes
¿Y en Oslo?
solo los de Lima
ahora como gráfico
lo mismo para 2014
¿cuántos de ellos llegaron tarde?
por mes
sin los cancelados
muéstralos por mes
pero por año
¿qué pasa con Lima?
explica la consulta anterior
""".strip().splitlines()

STANDING = """
How many orders has each town?
Which airports have delays, and how long are they?
What is the average delay per airline?
Show the average amount by region
Average amount by month
List the name and number of followers for each user, and sort the results by name.
For each type of store, how many of them are there?
display those employees who joined after 7th September, 1987.
Among the customers who paid in euro, how many of them are women?
What does the frame sales hold?
What is a left join?
Which function can I use instead of apply?
How do I get the mean of mpg by cyl in mtcars?
In 2013, which airline had the most flights?
For each shop, show its total.
By how much did sales rise in May?
Is it possible to join on two columns?
Is it true that sales rose?
How long does it take from Oslo to Lima?
Explain this notebook.
Which columns of sales have missing values, and what would you do about them?
Plot the amount by region
Fit a linear model of mpg on cyl and explain it
Without using pandas, how do I read a CSV file?
Solo artists by year
Number of orders that were shipped in the same month
Why does my merge double the rows?
Write a function that returns the last element of a list
Which students live in the same city as their advisor?
Give the last five orders
Wie viele Bestellungen hat jede Stadt?
Welche Kunden haben ihre Rechnung nicht bezahlt?
Was ist der Durchschnitt von amount nach region?
Zeige alle Flüge nach Lima
Wie hoch ist der Umsatz pro Monat?
Nenne die Kunden, die das teuerste Produkt kauften
Combien de commandes par ville ?
Quelle est la moyenne des retards par compagnie ?
Montre les clients et leurs commandes
Quels élèves ont plus de 18 ans ?
¿Cuántos pedidos tiene cada ciudad?
¿Cuál es la media de amount por region?
Muestra los clientes y sus pedidos
¿Qué aerolínea es la más puntual?
Lista los vuelos por mes y aeropuerto de salida
""".strip().splitlines()


@pytest.mark.parametrize("question", FOLLOWING)
def test_words_that_say_that_a_question_follows(question):
    assert follows(question)
    assert follows(f"  {question.upper()} ")


@pytest.mark.parametrize("question", STANDING)
def test_a_question_that_names_its_subject_stands_alone(question):
    assert not follows(question)
