# A question about each row of a data frame, by the `rsql` command.

ask_rows <- function(frame, question, returns = list(answer = "str"), model = getOption("rsql.model"),
                     privacy = getOption("rsql.privacy", "stats"), budget = NULL, quiet = FALSE) {
  is_text(question, "The question")
  need("jsonlite")
  if (!is.data.frame(frame)) fail("The first argument is a data frame.")
  if (!is.list(returns) || is.null(names(returns))) fail("returns is a list by name, such as list(mood = c(\"glad\", \"angry\")).")
  if (!has_command()) fail("This needs the rsql command. Install: pip install rsql-jupyter")
  places <- regmatches(question, gregexpr("(?<=\\{\\{).+?(?=\\}\\})", question, perl = TRUE))[[1]]
  used <- unique(trimws(places))
  if (length(missing <- setdiff(used, names(frame)))) {
    fail("There is no column ", missing[1], ". There are: ", paste(utils::head(names(frame), 20), collapse = ", "), ".")
  }
  asked <- list(
    columns = lapply(unclass(frame)[used], function(values) I(if (is.object(values)) as.character(values) else values)),
    question = question, returns = lapply(returns, function(one) if (length(one) > 1L) I(one) else one),
    model = model, privacy = privacy, budget = budget
  )
  text <- as.character(jsonlite::toJSON(asked, auto_unbox = TRUE, null = "null", na = "null", digits = NA))
  at <- gateway()
  at <- paste0(c("RSQL_GATEWAY_URL=", "RSQL_GATEWAY_TOKEN="), shQuote(c(at$url, at$token)))
  reply <- from_json(command(c("map", "-"), enc2utf8(text), at))
  if (!quiet) for (line in reply$said) message(printable(line))
  for (line in reply$wrong) warning(printable(line), call. = FALSE)
  for (name in names(reply$columns)) frame[[name]] <- typed_column(reply$columns[[name]], returns[[name]] %||% "str")
  attr(frame, "rsql") <- reply$record
  frame
}

typed_column <- function(values, type) {
  values[vapply(values, is.null, NA)] <- NA
  if (length(type) > 1L) return(factor(as.character(unlist(values)), levels = type))
  as_type <- switch(type, int = as.integer, float = as.numeric, bool = as.logical, date = as.Date, as.character)
  as_type(unlist(values))
}
