# Runs the code in code.R beside the frames that load.R loads, and writes its value as rows into result.json.
options(warn = -1, showErrorCalls = FALSE)
source("load.R")
code <- parse("code.R", keep.source = FALSE)
if (!length(code)) stop("the last line has no value", call. = FALSE)
for (part in head(code, -1)) eval(part, globalenv())

# What print and cat show is the value, without the words around it.
last <- code[[length(code)]]
if (is.call(last) && as.character(last[[1]])[1] %in% c("print", "cat")) {
  shown <- Filter(function(part) !is.character(part), unname(as.list(last)[-1]))
  last <- if (length(shown) == 1) shown[[1]] else as.call(c(quote(c), shown))
}
value <- eval(last, globalenv())
if (is.null(value)) stop("the last line has no value", call. = FALSE)

table_of <- function(x) {
  if (is.data.frame(x)) return(do.call(data.frame, c(unname(as.list(x)), stringsAsFactors = FALSE)))
  if (is.table(x) && length(dim(x))) return(as.data.frame(x, stringsAsFactors = FALSE))
  if (is.list(x)) x <- unlist(x)
  if (length(dim(x)) == 2) return(as.data.frame(x, stringsAsFactors = FALSE))
  # Names are keys, as tapply and sapply give them; that of a single value is not.
  if (!is.null(names(x)) && (is.array(x) || length(x) > 1)) return(data.frame(key = names(x), value = as.vector(x)))
  data.frame(value = unname(x))
}
plain <- function(column) {
  if (is.factor(column)) return(as.character(column))
  if (inherits(column, "Date")) return(format(column))
  if (inherits(column, "POSIXt")) return(sub("T00:00:00$", "", format(column, "%Y-%m-%dT%H:%M:%S")))
  if (inherits(column, "difftime")) return(as.numeric(column, units = "days"))
  column
}
table <- table_of(value)
table[] <- lapply(table, plain)
names(table) <- paste0("v", seq_along(table))
writeLines(jsonlite::toJSON(table, dataframe = "values", digits = NA, na = "null"), "result.json")
