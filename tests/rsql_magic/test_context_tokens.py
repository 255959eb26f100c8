"""The estimate of tokens, held against two encodings.

The figures were counted with tiktoken 0.14 by the encodings cl100k_base and o200k_base; neither is needed here.
"""

# ruff: noqa: E501 - texts as they are

from __future__ import annotations

import pytest

from rsql_magic.context import count_tokens

COUNTED = {
    "german": (
        "Die durchschnittliche Verspätung der Flüge hängt von der Fluggesellschaft, dem Wetter und der Tageszeit ab; berücksichtigen Sie außerdem die Krankenhausaufenthaltsdauer, die Geschwindigkeitsbegrenzung und die Bundesverfassungsgerichtsentscheidung. Wie viele Patientinnen wurden im vergangenen Jahr über die Notaufnahme eingewiesen? Größere Übersichten könnten übermäßig lang werden. Bitte erkläre mir den Unterschied zwischen dem arithmetischen Mittel und dem Median anhand dieser Tabelle.",
        134,
        99,
    ),
    "french": (
        "Combien de vols ont quitté New York en deux mille treize, et quelle était la moyenne des retards par compagnie aérienne ? Je voudrais également connaître l’écart-type, la médiane et les valeurs aberrantes pour chaque aéroport d’origine.",
        64,
        51,
    ),
    "spanish": (
        "¿Cuántos vuelos salieron de Nueva York en dos mil trece y cuál fue el retraso promedio por aerolínea? También quisiera saber la desviación estándar y los valores atípicos de cada aeropuerto de origen.",
        60,
        45,
    ),
    "chinese": (
        "二〇一三年从纽约出发的航班有多少次？请按航空公司计算平均延误时间，并画出每个月的变化趋势。数据框中有多少缺失值？请解释线性回归模型的系数以及置信区间的含义。",
        86,
        62,
    ),
    "japanese": (
        "ニューヨークを出発した便は何便ありますか。航空会社ごとの平均遅延時間を計算し、月別の推移をグラフに描いてください。データフレームの欠損値についても説明してください。",
        85,
        58,
    ),
    "korean": (
        "뉴욕에서 출발한 항공편은 몇 편입니까? 항공사별 평균 지연 시간을 계산하고 월별 추이를 그려 주세요. 데이터 프레임의 결측값도 설명해 주세요.",
        79,
        46,
    ),
    "russian": (
        "Сколько рейсов вылетело из Нью-Йорка в две тысячи тринадцатом году и какова была средняя задержка по авиакомпаниям? Объясните, пожалуйста, коэффициенты линейной регрессии и доверительные интервалы.",
        101,
        54,
    ),
    "arabic": (
        "كم عدد الرحلات التي غادرت نيويورك وما هو متوسط التأخير لكل شركة طيران؟ يرجى شرح معاملات الانحدار الخطي.",
        72,
        31,
    ),
    "hindi": ("न्यूयॉर्क से कितनी उड़ानें रवाना हुईं और प्रत्येक एयरलाइन की औसत देरी क्या थी? कृपया समझाएँ।", 96, 34),
    "greek": (
        "Πόσες πτήσεις αναχώρησαν από τη Νέα Υόρκη και ποια ήταν η μέση καθυστέρηση ανά αεροπορική εταιρεία;",
        88,
        39,
    ),
    "english": (
        "You may convey verbatim copies of the source code as you receive it, in any medium, provided that you keep every notice of the absence of any warranty, and give all recipients a copy of this licence along with the program. How many flights left New York in 2013, and what was the mean delay by carrier?",
        66,
        66,
    ),
    "r": (
        'flights |>\n  filter(!is.na(dep_delay), origin == "JFK") |>\n  group_by(carrier) |>\n  summarise(mean_delay = mean(dep_delay), n = n(), .groups = "drop") |>\n  arrange(desc(mean_delay))\nfit <- lm(arr_delay ~ dep_delay + factor(month), data = flights)\nsummary(fit)$coefficients[1:2, ]',
        85,
        84,
    ),
    "python": (
        'import pandas as pd\n\nmonthly = (\n    flights.assign(month=flights["time_hour"].dt.to_period("M"))\n    .groupby(["carrier", "month"], as_index=False)["dep_delay"].mean()\n    .sort_values("dep_delay", ascending=False)\n)\nprint(monthly.head(10).to_markdown())',
        67,
        67,
    ),
    "sql": (
        "SELECT c.country, COUNT(DISTINCT o.order_id) AS orders, ROUND(SUM(i.quantity * i.unit_price), 2) AS revenue\nFROM orders o JOIN customers c USING (customer_id) LEFT JOIN order_items i ON i.order_id = o.order_id\nWHERE o.ordered_at >= DATE '2013-01-01' GROUP BY c.country HAVING COUNT(*) > 5 ORDER BY revenue DESC LIMIT 10;",
        90,
        90,
    ),
    "ddl": (
        "CREATE TABLE flights ( -- 336,776 rows\n  year INTEGER, -- 2013..2013\n  dep_delay DOUBLE, -- -43..1301; 2% NULL; [minutes]\n  tailnum VARCHAR, -- ≈4,043 distinct\n  PRIMARY KEY (year, tailnum),\n  FOREIGN KEY (tailnum) REFERENCES planes (tailnum)\n);",
        79,
        79,
    ),
    "numbers": (
        "1000000, 3.14159, -0.5772, 2013-01-01 05:15:00, 42, 1e-10, 99.9%, 7919 100003 12345678 0.0001",
        59,
        59,
    ),
    "frame": (
        "sales: pandas DataFrame, 1,000 rows × 4 columns\n- id int64: 0..999; unique\n- region str: values: 'N', 'S', 'E', 'W'\n- amount float64: 0.00221..1\n- ts datetime64: 2020-01-01..2022-09-26",
        77,
        78,
    ),
}


@pytest.mark.parametrize("kind", COUNTED)
def test_the_estimate_is_hardly_ever_low_and_not_far_too_high(kind):
    text, cl100k, o200k = COUNTED[kind]
    assert count_tokens(text) >= 0.95 * max(cl100k, o200k)
    assert count_tokens(text) <= 1.3 * max(cl100k, o200k)


@pytest.mark.parametrize(("text", "counted"), [(" " * 5000, 40), ("-" * 3000, 48)])
def test_what_repeats_costs_little(text, counted):
    assert 0.9 * counted <= count_tokens(text) <= 2.5 * counted


def test_nothing_costs_nothing():
    assert count_tokens("") == 0
